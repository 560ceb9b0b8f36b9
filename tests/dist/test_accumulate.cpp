// Gradient accumulation: a batch in parts has the gradients of the whole.

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/dist/accumulate.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/dist/recording_communicator.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using test::RecordingCommunicator;
using test::world;

struct Cnn : nn::Module<Cnn> {
  nn::Conv2d conv{*this, "conv", {.in = 3, .out = 6, .kernel = 3, .padding = 1}};
  nn::Linear fc{*this, "fc", {.in = 6 * 4, .out = 5}};
  Tensor forward(const Tensor& x) {
    return fc(adaptive_avg_pool2d(relu(conv(x)), {2, 2}).flatten(1));
  }
};

struct Batch {
  Tensor x;
  Tensor y;
};

Batch make_batch(std::int64_t size) {
  return {randn({size, 3, 8, 8}, {.dtype = f64}),
          affine(rand({size}, {.dtype = f64}), 5, 0).to(i64)};
}

// The parameters after three steps, each of one batch: rank r has shares[r] samples of it.
std::vector<double> train(Communicator& ranks, const std::vector<std::int64_t>& shares,
                          std::int64_t parts) {
  manual_seed(31);
  Cnn net;
  net.to(f64);
  dist::DataParallel model(net, ranks);
  optim::SGD optimizer(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  std::int64_t total = 0;
  std::int64_t first = 0;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    if (static_cast<int>(rank) == ranks.rank()) first = total;
    total += shares[rank];
  }
  const std::int64_t own =
      ranks.size() == 1 ? total : shares[static_cast<std::size_t>(ranks.rank())];
  for (int step = 0; step < 3; ++step) {
    const Batch all = make_batch(total);
    const Batch mine{all.x.slice(0, first, first + own), all.y.slice(0, first, first + own)};
    optimizer.zero_grad();
    dist::backward_in_parts(model, own, parts, [&](std::int64_t begin, std::int64_t end) {
      return cross_entropy(model(mine.x.slice(0, begin, end)), mine.y.slice(0, begin, end));
    });
    optimizer.step();
  }
  std::vector<double> values;
  for (const Tensor& parameter : net.parameters()) {
    for (const double value : parameter.to_vector()) values.push_back(value);
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

TEST_CASE("accumulate: parts on all ranks give one process' large batch", "[accumulate]") {
  const auto size = static_cast<std::size_t>(world().size());
  std::vector<std::int64_t> uneven;   // 7, 10, 13, …: no multiples of the parts
  std::vector<std::int64_t> nothing;  // fewer samples than parts, and none on the last rank
  for (std::size_t rank = 0; rank < size; ++rank) {
    uneven.push_back(7 + 3 * static_cast<std::int64_t>(rank));
    nothing.push_back(rank + 1 == size && size > 1 ? 0 : 3);
  }
  SingleProcess alone;
  for (const std::vector<std::int64_t>& shares : {uneven, nothing}) {
    const std::vector<double> expected = train(alone, shares, 1);
    for (const std::int64_t parts : {1, 2, 4, 50}) {
      CAPTURE(parts, shares);
      CHECK(largest_difference(train(world(), shares, parts), expected) < 1e-9);
    }
  }
}

TEST_CASE("accumulate: sends once, however many parts there are", "[accumulate]") {
  RecordingCommunicator ranks(world());
  Cnn net;
  net.to(f64);
  dist::DataParallel model(net, ranks);
  const Batch batch = make_batch(4 + world().rank());
  ranks.forget_calls();
  int passes = 0;
  dist::backward_in_parts(model, batch.y.size(0), 4, [&](std::int64_t begin, std::int64_t end) {
    ++passes;
    return cross_entropy(model(batch.x.slice(0, begin, end)), batch.y.slice(0, begin, end));
  });
  CHECK(passes == 4);
  CHECK(ranks.calls().size() == (world().size() == 1 ? 0 : 1));
}

TEST_CASE("accumulate: misuse is refused", "[accumulate]") {
  SingleProcess alone;
  Cnn net;
  dist::DataParallel model(net, alone);
  const auto none = [](std::int64_t, std::int64_t) { return Tensor(); };
  CHECK_THROWS_WITH(dist::backward_in_parts(model, 4, 0, none), Contains("at least one part"));
  CHECK_THROWS_WITH(dist::backward_in_parts(model, -1, 2, none), Contains("not be negative"));
}

}  // namespace
}  // namespace minidl
