// The contract: batch normalisation over all ranks. nn::sync_batch_norm hands a communicator to
// every BatchNorm of a model; from then on each channel is normalised with the statistics of the
// whole batch, however it is dealt out, and DataParallel trains to the same parameters, running
// statistics and outputs as one process that has the whole batch. Evaluation needs no other rank.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/dist/ddp.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/dist/recording_communicator.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using test::world;

constexpr double kAllowed = 1e-9;

// Two normalisations, so that the second one's gradients go through the first.
struct ConvNet : nn::Module<ConvNet> {
  explicit ConvNet(bool affine_params)
      : bn1(*this, "bn1", {.features = 5, .affine = affine_params}),
        bn2(*this, "bn2", {.features = 7, .affine = affine_params}) {
    to(f64);
  }
  nn::Conv2d conv1{*this, "conv1", {.in = 3, .out = 5, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2{*this, "conv2", {.in = 5, .out = 7, .kernel = 3, .stride = 2}};
  nn::BatchNorm2d bn2;
  nn::Linear fc{*this, "fc", {.in = 7, .out = 4}};
  Tensor forward(const Tensor& x) {
    const Tensor features = bn2(conv2(relu(bn1(conv1(x)))));
    return fc(relu(features).mean({2, 3}));
  }
  static Shape input(std::int64_t samples) { return {samples, 3, 6, 5}; }
};

struct Mlp : nn::Module<Mlp> {
  explicit Mlp(bool affine_params)
      : bn1(*this, "bn1", {.features = 6, .affine = affine_params}),
        bn2(*this, "bn2", {.features = 9, .affine = affine_params}) {
    to(f64);
  }
  nn::BatchNorm1d bn1;  // on the input itself
  nn::Linear fc1{*this, "fc1", {.in = 6, .out = 9}};
  nn::BatchNorm1d bn2;
  nn::Linear fc2{*this, "fc2", {.in = 9, .out = 4}};
  Tensor forward(const Tensor& x) { return fc2(relu(bn2(fc1(bn1(x))))); }
  static Shape input(std::int64_t samples) { return {samples, 6}; }
};

// Where each rank's part of the batch begins, and where the last one's ends. Step 0: equal parts as
// far as that goes; step 1: the last rank has nothing; then uneven parts, some of them empty.
std::vector<std::int64_t> cuts(std::int64_t samples, int step) {
  const int size = world().size();
  std::vector<std::int64_t> result{0};
  for (int rank = 1; rank < size; ++rank) {
    std::int64_t cut = samples * rank / size;
    if (step == 1) cut = rank == size - 1 ? samples : rank;
    if (step >= 2) cut = (step * 5 + rank * rank * 4) % (samples + 1);
    result.push_back(std::max(cut, result.back()));
  }
  result.push_back(samples);
  return result;
}

// The largest difference between corresponding elements, infinite where one is NaN.
double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> left = a.to_vector();
  const std::vector<double> right = b.to_vector();
  double largest = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double here = std::abs(left[i] - right[i]);
    largest = std::isnan(here) ? INFINITY : std::max(largest, here);
  }
  return largest;
}

// Trains on parts beside a twin that has the whole batch, and compares everything in each step.
template <class Net>
void compare_training(bool affine_params) {
  constexpr std::int64_t kSamples = 11;
  manual_seed(31);
  Net net(affine_params);
  nn::sync_batch_norm(net, world());
  // Small buckets: their reductions and those of the normalisation take turns in backward.
  dist::DataParallel model(net, world(), {.buckets = {.bucket_bytes = 1, .first_bucket_bytes = 1}});
  manual_seed(31);
  Net alone(affine_params);
  const optim::SGDOptions sgd{.lr = 0.1, .momentum = 0.9};
  optim::SGD optimizer(model.parameters(), sgd);
  optim::SGD alone_optimizer(alone.parameters(), sgd);

  for (int step = 0; step < 6; ++step) {
    const Tensor x = randn(Net::input(kSamples), {.dtype = f64}) * 2 + 0.5;
    const Tensor y = affine(rand({kSamples}, {.dtype = f64}), 4, 0).to(i64);
    const std::vector<std::int64_t> all = cuts(kSamples, step);
    const auto rank = static_cast<std::size_t>(world().rank());
    const std::int64_t begin = all[rank];
    const std::int64_t end = all[rank + 1];
    CAPTURE(affine_params, step, begin, end);

    const Tensor mine = x.slice(0, begin, end).contiguous();
    mine.set_requires_grad();
    optimizer.zero_grad();
    const Tensor logits = model(mine);
    cross_entropy(logits, y.slice(0, begin, end).contiguous()).backward();

    const Tensor whole = x.detach().clone();
    whole.set_requires_grad();
    alone_optimizer.zero_grad();
    const Tensor expected = alone(whole);
    cross_entropy(expected, y).backward();

    REQUIRE(difference(logits, expected.slice(0, begin, end)) < kAllowed);
    const StateDict parameters = net.named_parameters();
    const StateDict alone_parameters = alone.named_parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      CAPTURE(parameters[i].name);
      REQUIRE(difference(parameters[i].tensor.grad(), alone_parameters[i].tensor.grad()) <
              kAllowed);
    }
    // The loss of a part is a mean over fewer samples: so much larger is its gradient.
    if (end > begin) {
      const double scale = static_cast<double>(kSamples) / static_cast<double>(end - begin);
      REQUIRE(difference(mine.grad(), whole.grad().slice(0, begin, end) * scale) < kAllowed);
    }

    optimizer.step();
    alone_optimizer.step();
    const StateDict state = net.state_dict();
    const StateDict alone_state = alone.state_dict();
    for (std::size_t i = 0; i < state.size(); ++i) {
      CAPTURE(state[i].name);
      REQUIRE(difference(state[i].tensor, alone_state[i].tensor) < kAllowed);
    }
  }

  model.eval();
  alone.eval();
  const Tensor x = randn(Net::input(3), {.dtype = f64});
  REQUIRE(difference(model(x), alone(x)) < kAllowed);
}

TEST_CASE("sync batch norm: parts of images train like the whole batch",
          "[contract][sync_batch_norm]") {
  compare_training<ConvNet>(true);
  compare_training<ConvNet>(false);
}

TEST_CASE("sync batch norm: parts of rows train like the whole batch",
          "[contract][sync_batch_norm]") {
  compare_training<Mlp>(true);
  compare_training<Mlp>(false);
}

TEST_CASE("sync batch norm: all ranks get the same bits", "[contract][sync_batch_norm]") {
  manual_seed(32 + static_cast<std::uint64_t>(world().rank()));
  nn::BatchNorm1d bn(50);
  nn::sync_batch_norm(bn, world());
  for (int step = 0; step < 3; ++step) bn(randn({3 + world().rank(), 50}) * 100 + 1000);
  for (const Tensor& statistic : {bn.running_mean, bn.running_var}) {
    const Tensor all = empty({world().size(), 50});
    world().communicator().all_gather(statistic, all)->wait();
    for (int rank = 0; rank < world().size(); ++rank) {
      REQUIRE(all.select(0, rank).to_vector() == statistic.to_vector());
    }
  }
  REQUIRE(bn.num_batches_tracked.item() == 3);
}

TEST_CASE("sync batch norm: large means cost no precision", "[contract][sync_batch_norm]") {
  // Rank r has the values 10000 + 10 r and 10000 + 10 r + 2: a sum of squares in f32 would be lost.
  const int size = world().size();
  const double mine = 10000 + 10 * world().rank();
  const BatchNormResult result =
      sync_batch_norm_training(tensor({mine, mine + 2}, {2, 1}), {}, {}, 1e-5, world());
  REQUIRE(result.count == 2 * size);
  REQUIRE(result.mean.item() == Approx(10001 + 5 * (size - 1)));
  REQUIRE(result.variance.item() == Approx(1 + 100.0 * (size * size - 1) / 12));
}

TEST_CASE("sync batch norm: the ranks' batches count together", "[contract][sync_batch_norm]") {
  const bool is_last = world().rank() == world().size() - 1;
  nn::BatchNorm1d bn(4);
  nn::sync_batch_norm(bn, world());
  if (world().size() > 1) {
    bn(randn({1, 4}));  // one row on each rank is a batch
    REQUIRE(bn.num_batches_tracked.item() == 1);
    // One row in all is none, and every rank says so.
    REQUIRE_THROWS_WITH(bn(randn({is_last ? 1 : 0, 4})), Contains("one value per channel"));
    REQUIRE(bn.num_batches_tracked.item() == 1);
  }
  const std::vector<double> before = bn.running_mean.to_vector();
  REQUIRE(bn(zeros({0, 4})).shape() == Shape{0, 4});  // nobody has anything
  REQUIRE(bn.running_mean.to_vector() == before);
}

TEST_CASE("sync batch norm: evaluation and a null communicator stay on this rank",
          "[contract][sync_batch_norm]") {
  test::RecordingCommunicator ranks(world());
  Mlp net(true);
  nn::sync_batch_norm(net, ranks);
  const Tensor x = randn({2, 6}, {.dtype = f64});
  net(x);
  REQUIRE(ranks.calls().size() == (world().size() > 1 ? 2 : 0));  // one for each layer
  ranks.forget_calls();
  net.eval();
  net(x).sum().backward();
  net.train();
  net.bn1.set_communicator(nullptr);
  net.bn2.set_communicator(nullptr);
  net(x).sum().backward();
  REQUIRE(ranks.calls().empty());
}

}  // namespace
}  // namespace minidl
