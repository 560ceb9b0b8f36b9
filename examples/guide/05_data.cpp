// The program of docs/guide/05-data.md.

#include <minidl/minidl.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <span>
#include <string>
#include <vector>
namespace dl = minidl;
namespace data = minidl::data;

namespace {

void two_tensors() {
  const dl::Tensor x = dl::randn({10, 3});
  const dl::Tensor y = dl::arange(10);
  const data::Loader loader(data::TensorDataset(x, y), {.global_batch = 4});
  for (auto [inputs, targets] : loader.epoch(0)) {
    std::printf("%s %s\n", describe(inputs).c_str(), describe(targets).c_str());
  }
}

// Points on two spirals, computed when they are asked for.
class Spirals final : public data::Dataset {
 public:
  explicit Spirals(std::int64_t size) : size_(size) {}

  std::int64_t size() const override { return size_; }
  std::string name() const override { return "spirals"; }

  data::Batch batch(std::span<const std::int64_t> indices,
                    const data::BatchContext& /*context*/) const override {
    check_indices(indices);
    std::vector<float> points;
    std::vector<std::int64_t> arms;
    for (const std::int64_t index : indices) {
      const std::int64_t arm = index % 2;
      const float radius = static_cast<float>(index) / static_cast<float>(size_);
      const float angle = 10 * radius + 3.14159265F * static_cast<float>(arm);
      points.insert(points.end(), {radius * std::cos(angle), radius * std::sin(angle)});
      arms.push_back(arm);
    }
    const auto count = static_cast<std::int64_t>(indices.size());
    return {dl::tensor(points, {count, 2}, {.device = dl::cpu}),
            dl::tensor(arms, {count}, {.device = dl::cpu})};
  }

 private:
  std::int64_t size_;
};

void a_dataset_of_your_own() {
  const data::Loader loader(Spirals(1000), {.global_batch = 64, .shuffle = true, .seed = 3});
  std::int64_t samples = 0;
  for (const data::Batch& batch : loader.epoch(0)) samples += batch.x.size(0);
  std::cout << loader.batches() << " batches, " << samples << " samples\n";
}

// Whoever computes a batch, it is the same.
void the_same_batches_again() {
  const Spirals spirals(100);
  const data::Loader one(spirals, {.global_batch = 32, .shuffle = true, .workers = 0});
  const data::Loader four(spirals, {.global_batch = 32, .shuffle = true, .workers = 4});
  data::Epoch a = one.epoch(7);
  data::Epoch b = four.epoch(7);
  auto other = b.begin();
  bool same = true;
  for (const data::Batch& batch : a) {
    same = same && dl::equal(batch.x, other->x);
    ++other;
  }
  std::printf("%s\n", same ? "the same batches" : "other batches");
}

void images() {
  const data::Synthetic train({.size = 500});
  const data::Synthetic test({.size = 100, .split = data::Split::test});
  const data::Loader batches(train.augmented(train.basic_augmentation()),
                             {.global_batch = 100, .shuffle = true});
  const data::Loader test_batches(test.normalized(train.normalization()), {.global_batch = 100});
  for (auto [x, y] : batches.epoch(0)) {
    std::printf("%s %s, channels last: %s\n", describe(x).c_str(), describe(y).c_str(),
                x.is_channels_last() ? "yes" : "no");
    break;  // the workers stop
  }
  const auto label = static_cast<std::size_t>(train.label(3));
  std::printf("class of image 3: %s\n", train.class_names().at(label).c_str());
}

void mistakes() {
  try {
    const data::Cifar10 cifar("/no/such/folder");
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  two_tensors();
  a_dataset_of_your_own();
  the_same_batches_again();
  images();
  mistakes();
}
