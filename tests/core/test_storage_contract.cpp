// The contract of Storage (core/storage.h): a block of memory under a tensor and all its views. Its
// bytes can be given away and brought back while the views live, which sharded training and
// offloading are made of. Nobody notices but the memory counters: geometry stays, the graph stays,
// and the version, by which autograd tells that a saved tensor was changed, counts changes by
// operations only. Who needs the bytes while they are away gets an error that says so.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"
#include "tests/write_behind.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

std::int64_t in_use() {
  return memory_stats(default_device()).total.current;
}

// What a gather does.
void bring_back(const Tensor& tensor, const std::vector<float>& values) {
  tensor.storage().materialize();
  test::write_behind(tensor, values);
}

}  // namespace

TEST_CASE("storage: a tensor and its views share one", "[contract]") {
  const Tensor base = zeros({2, 3});
  const Tensor views[] = {base.t(), base.slice(1, 0, 2), base.reshape({6}), base.detach()};
  for (const Tensor& view : views) CHECK(view.storage() == base.storage());
  base.fill_(1);
  for (const Tensor& view : views) CHECK(view.sum().item() == static_cast<double>(view.numel()));
  CHECK_FALSE(base.clone().storage() == base.storage());
}

TEST_CASE("storage: bytes go and come back under live views", "[contract]") {
  const Tensor base = tensor({1, 2, 3, 4}, {2, 2});
  const Tensor transposed = base.t();
  const Tensor row = base.select(0, 1);
  const std::uint64_t version = base.storage().version();
  const std::int64_t before = in_use();

  row.storage().release();  // through any of them
  CHECK(base.storage().released());
  CHECK(in_use() == before - 4 * 4);
  CHECK(transposed.shape() == Shape{2, 2});
  CHECK(transposed.strides() == Strides{1, 2});
  CHECK(base.t().storage() == base.storage());  // new views can be made meanwhile

  bring_back(base, {5, 6, 7, 8});
  CHECK(in_use() == before);
  CHECK(transposed.to_vector() == Values{5, 7, 6, 8});
  CHECK(row.to_vector() == Values{7, 8});
  CHECK(base.storage().version() == version);
  CHECK(base.storage().last_change() == nullptr);
}

TEST_CASE("storage: tensors saved for backward survive", "[contract]") {
  const Tensor weight = tensor({1, 2, 3, 4}, {2, 2});
  const Tensor x = tensor({1, 1}, {1, 2}, {.requires_grad = true});
  const Tensor y = matmul(x, weight.t()).sum();  // saves a view of weight
  weight.storage().release();

  SECTION("backward reads what has come back") {
    bring_back(weight, {1, 2, 3, 4});
    y.backward();
    CHECK(x.grad().to_vector() == Values{4, 6});
  }
  SECTION("backward before that says what to do, and can be called again after it") {
    CHECK_THROWS_WITH(y.backward({}, true), Contains("backward of matmul") &&
                                                Contains("f32[2, 2]") &&
                                                Contains("materialize it first"));
    bring_back(weight, {1, 2, 3, 4});
    y.backward();
    CHECK(x.grad().to_vector() == Values{4, 6});
  }
  SECTION("an operation that changes them is noticed all the same") {
    bring_back(weight, {1, 2, 3, 4});
    weight.mul_(2);
    CHECK_THROWS_WITH(y.backward(), Contains("matmul: its input 1") && Contains("by mul_"));
  }
}

TEST_CASE("storage: a leaf and its gradient come and go step by step", "[contract]") {
  // A parameter of which every rank holds its share only, but for the time of its use.
  const Tensor parameter = tensor({1, 2}, {2}, {.requires_grad = true});
  std::vector<float> shard{1, 2};
  for (int step = 0; step < 3; ++step) {
    parameter.storage().release();
    bring_back(parameter, shard);
    (parameter * parameter).sum().backward();
    parameter.storage().release();
    const Tensor grad = parameter.grad();
    const Values values = grad.to_vector();
    for (std::size_t i = 0; i < 2; ++i) shard[i] -= 0.25f * static_cast<float>(values[i]);
    parameter.zero_grad();
    grad.storage().release();
    grad.storage().materialize();  // the next backward writes there: it was marked as absent
  }
  CHECK(shard == std::vector<float>{0.125, 0.25});
  CHECK(parameter.is_leaf());
  CHECK(parameter.storage().version() == 0);
}

TEST_CASE("storage: what needs the bytes while they are away throws and changes nothing",
          "[contract]") {
  const Tensor gone = ones({2, 2});
  const Tensor here = ones({2, 2});
  gone.storage().release();
  struct Row {
    std::string op;
    std::function<void()> run;
  };
  const std::vector<Row> rows{
      {"storage", [&] { gone.raw_data(); }},
      {"storage", [&] { gone.data<float>(); }},
      {"storage", [&] { gone.view(); }},
      {"to", [&] { gone.to_vector(); }},
      {"to", [&] { gone.slice(0, 0, 1).slice(1, 0, 1).item(); }},
      {"add", [&] { here + gone; }},
      {"exp", [&] { exp(gone); }},
      {"matmul", [&] { matmul(gone, here); }},
      {"clone", [&] { gone.clone(); }},
      {"fill_", [&] { gone.zero_(); }},
      {"mul_", [&] { gone.mul_(2); }},
      {"copy_", [&] { gone.copy_(here); }},
      {"copy_", [&] { here.copy_(gone); }},
      {"add_", [&] { here.add_(gone); }},
  };
  for (const Row& row : rows) {
    INFO(row.op);
    CHECK_THROWS_WITH(row.run(),
                      Contains(row.op) && Contains("released") && Contains("materialize it first"));
  }
  CHECK(gone.storage().version() == 0);
  CHECK(here.storage().version() == 0);
  gone.storage().materialize();
  CHECK_NOTHROW(exp(gone));
}

TEST_CASE("storage: memory of others is neither counted nor released", "[contract]") {
  float memory[4] = {1, 2, 3, 4};
  const std::int64_t before = in_use();
  const Tensor borrowed = from_blob(memory, {4});
  CHECK(in_use() == before);
  borrowed.set_memory_tag(MemoryTag::param);
  CHECK(borrowed.storage().tag() == MemoryTag::param);
  CHECK(in_use() == before);
  CHECK_THROWS_WITH(borrowed.storage().release(), Contains("borrowed"));
  CHECK(borrowed.storage().data() == memory);
}

TEST_CASE("storage: memory that never exists has all but bytes", "[contract]") {
  const std::int64_t before = in_use();
  const Tensor imagined = fake({1 << 20, 1 << 20});
  CHECK(in_use() == before);
  CHECK(imagined.storage().bytes() == std::size_t{1} << 42);
  CHECK(imagined.storage().released());
  CHECK_NOTHROW(imagined.storage().release());
  CHECK_THROWS_WITH(imagined.storage().materialize(), Contains("fake"));
  CHECK_THROWS_WITH(imagined.raw_data(), Contains("no elements"));
  imagined.mul_(2);  // computes nothing, but counts
  CHECK(imagined.storage().version() == 1);
}

TEST_CASE("storage: the bytes go with the last view", "[contract]") {
  const std::int64_t before = in_use();
  Tensor view;
  {
    const Tensor base = zeros({100});
    view = base.slice(0, 0, 1);
  }
  CHECK(in_use() == before + 400);
  view = {};
  CHECK(in_use() == before);
}
