// The contract: gradient accumulation without communication. Backward passes under no_sync add to
// the gradients of their own rank and call no collective; the next pass without it reduces the sum
// once. A rank's weight is its samples in all these passes, which gives what one process computes
// from the whole micro-batches if each rank's share is the same in all of them.

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/dist/ddp.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/linear.h"
#include "tests/catch.h"
#include "tests/dist/recording_communicator.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using test::RecordingCommunicator;
using test::world;

struct Net : nn::Module<Net> {
  nn::Linear fc1{*this, "fc1", {.in = 6, .out = 9}};
  nn::Linear fc2{*this, "fc2", {.in = 9, .out = 4}};
  std::function<void()> during_backward;

  Net();
  Tensor forward(const Tensor& x) {
    const Tensor hidden = fc1(x);
    hidden.register_hook([this](const Tensor&) {
      if (during_backward) during_backward();
      return Tensor();
    });
    return fc2(relu(hidden));
  }
};

// Not inline: two in one function make g++ 12 see dangling pointers at -O1 where there are none.
Net::Net() = default;

struct Batch {
  Tensor x;
  Tensor y;

  Batch part(std::int64_t begin, std::int64_t end) const {
    return {x.slice(0, begin, end).contiguous(), y.slice(0, begin, end).contiguous()};
  }
};

Batch make_batch(std::int64_t size) {
  const Tensor classes = affine(rand({size}, {.dtype = f64}), 4, 0);
  return {randn({size, 6}, {.dtype = f64}), classes.to(i64)};
}

void add_gradients(dist::DataParallel<Net>& model, const Batch& batch) {
  cross_entropy(model(batch.x), batch.y).backward();
}

std::vector<double> gradients(const nn::ModuleBase& module) {
  std::vector<double> values;
  for (const Tensor& parameter : module.parameters()) {
    for (const double value : parameter.grad().to_vector()) values.push_back(value);
  }
  return values;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

// Samples of each rank in a micro-batch of the smallest size.
using Shares = std::vector<std::int64_t>;

std::int64_t sum_before(const Shares& shares, int rank) {
  std::int64_t sum = 0;
  for (int r = 0; r < rank; ++r) sum += shares[static_cast<std::size_t>(r)];
  return sum;
}

TEST_CASE("no_sync: micro-batches give what one process gets from the whole ones",
          "[contract][no_sync]") {
  const int size = world().size();
  const int kind = GENERATE(0, 1, 2);
  Shares shares;  // equal; growing with the rank; the last rank has nothing
  for (int rank = 0; rank < size; ++rank) {
    shares.push_back(kind == 0 ? 2 : kind == 1 || size == 1 ? rank + 1 : size - 1 - rank);
  }
  const std::int64_t whole = sum_before(shares, size);
  const std::int64_t begin = sum_before(shares, world().rank());
  const std::int64_t end = sum_before(shares, world().rank() + 1);

  manual_seed(21);
  Net net;
  net.to(f64);
  RecordingCommunicator ranks(world());
  dist::DataParallel model(net, ranks);
  manual_seed(21);
  Net alone;
  alone.to(f64);
  for (int step = 0; step < 3; ++step) {  // step 1 adds to the gradients of step 0
    if (step == 2) {
      net.zero_grad();
      alone.zero_grad();
    }
    for (int micro = 1; micro <= 4; ++micro) {
      const Batch batch = make_batch(whole * micro);
      const Batch mine = batch.part(begin * micro, end * micro);
      ranks.forget_calls();
      if (micro < 4) {
        const auto guard = model.no_sync();
        add_gradients(model, mine);
        REQUIRE(ranks.calls().empty());
      } else {
        add_gradients(model, mine);
        REQUIRE(ranks.calls().size() == (size == 1 ? 0 : 1));
      }
      cross_entropy(alone(batch.x), batch.y).backward();
    }
    CAPTURE(kind, step);
    REQUIRE(largest_difference(gradients(net), gradients(alone)) < 1e-9);
  }
}

TEST_CASE("no_sync: a rank weighs by all samples since the last reduction", "[contract][no_sync]") {
  // The last rank's first micro-batch is empty: it adds a gradient of 0 and no weight.
  const int rank = world().rank();
  const int last = world().size() - 1;
  manual_seed(22);
  Net net;
  net.to(f64);
  dist::DataParallel model(net, world());
  manual_seed(22);
  Net local;
  local.to(f64);
  manual_seed(100 + static_cast<std::uint64_t>(rank));
  const Batch first = make_batch(rank == last ? 0 : 3);
  const Batch second = make_batch(rank + 1);
  {
    const auto guard = model.no_sync();
    add_gradients(model, first);
  }
  add_gradients(model, second);

  cross_entropy(local(first.x), first.y).backward();
  cross_entropy(local(second.x), second.y).backward();
  std::vector<double> sums = gradients(local);
  const auto samples = static_cast<double>(first.x.size(0) + second.x.size(0));
  for (double& value : sums) value *= samples;
  sums.push_back(samples);
  const Tensor expected = tensor(sums, {static_cast<std::int64_t>(sums.size())}, {.dtype = f64});
  world().communicator().all_reduce(expected)->wait();
  std::vector<double> average = expected.to_vector();
  const double total = average.back();
  average.pop_back();
  for (double& value : average) value /= total;
  REQUIRE(largest_difference(gradients(net), average) < 1e-12);

  // And the count starts anew.
  net.zero_grad();
  local.zero_grad();
  add_gradients(model, rank == last ? second : second.part(0, 0));
  if (rank == last) {
    cross_entropy(local(second.x), second.y).backward();
    REQUIRE(largest_difference(gradients(net), gradients(local)) < 1e-12);
  }
}

TEST_CASE("no_sync: set_local_samples counts for its own pass", "[contract][no_sync]") {
  const auto rank = static_cast<double>(world().rank());
  const auto size = static_cast<double>(world().size());
  Net net;
  net.to(f64);
  dist::DataParallel model(net, world());
  const Tensor x = ones({1, 6}, {.dtype = f64});
  // The gradient of fc2.bias is the rank's number in both passes, its weight that number + 1 + 1.
  {
    const auto guard = model.no_sync();
    model.set_local_samples(world().rank() + 1);
    affine(model(x).sum(), rank, 0).backward();
  }
  affine(model(x).sum(), rank, 0).backward();
  double weights = 0;
  double sum = 0;
  for (double r = 0; r < size; ++r) {
    weights += r + 2;
    sum += (r + 2) * 2 * r;
  }
  REQUIRE(net.fc2.bias.grad().to_vector().front() == Approx(sum / weights));
}

TEST_CASE("no_sync: guards nest and move, and end only once", "[contract][no_sync]") {
  if (world().size() == 1) return;
  RecordingCommunicator ranks(world());
  Net net;
  net.to(f64);
  dist::DataParallel model(net, ranks);
  const Batch batch = make_batch(2);
  const auto collectives = [&] {
    ranks.forget_calls();
    add_gradients(model, batch);
    return ranks.calls().size();
  };
  {
    auto outer = model.no_sync();
    {
      const auto inner = model.no_sync();
      REQUIRE(collectives() == 0);
    }
    REQUIRE(collectives() == 0);
    const auto moved = std::move(outer);
    REQUIRE(collectives() == 0);
  }
  REQUIRE(collectives() == 1);
}

TEST_CASE("no_sync: forward leaves the buffers alone", "[contract][no_sync]") {
  if (world().size() == 1) return;
  struct Normalised : nn::Module<Normalised> {
    nn::BatchNorm1d bn{*this, "bn", 3};
    Tensor forward(const Tensor& x) { return bn(x); }
  };
  RecordingCommunicator ranks(world());
  Normalised net;
  dist::DataParallel model(net, ranks);
  const Tensor x = randn({4, 3}) + static_cast<double>(world().rank());
  ranks.forget_calls();
  {
    const auto guard = model.no_sync();
    model(x);
    model.eval();
    model(x);
    REQUIRE(ranks.calls().empty());
  }
  model(x);  // now the ranks agree on what they evaluate with
  REQUIRE(ranks.calls().size() == 2);
  REQUIRE(ranks.calls()[0].op == "broadcast");
  REQUIRE(ranks.calls()[0].purpose == "buffers bn.running_mean ... bn.running_var, 2 of f32");
}

TEST_CASE("no_sync: during a backward it is refused, and its end there changes nothing",
          "[contract][no_sync]") {
  if (world().size() == 1) return;
  RecordingCommunicator ranks(world());
  Net net;
  net.to(f64);
  dist::DataParallel model(net, ranks);
  const Batch batch = make_batch(2);
  std::string message;
  net.during_backward = [&] {
    try {
      const auto guard = model.no_sync();
    } catch (const Error& error) {
      message = error.what();
    }
  };
  add_gradients(model, batch);
  CHECK_THAT(message, Contains("DataParallel: no_sync during a backward"));

  auto guard = std::make_unique<dist::NoSyncGuard>(model.no_sync());
  net.during_backward = [&] { guard.reset(); };
  ranks.forget_calls();
  add_gradients(model, batch);
  CHECK(ranks.calls().empty());  // the pass began under it
  add_gradients(model, batch);
  CHECK(ranks.calls().size() == 1);
}

}  // namespace
}  // namespace minidl
