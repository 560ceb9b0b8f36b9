// The moving average of a model.

#include <vector>

#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/train/ema.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

struct Net : nn::Module<Net> {
  Tensor weight = register_parameter("weight", tensor({1, 2}, {2}, {.dtype = f64}));
  Tensor running = register_buffer("running", tensor({5}, {1}, {.dtype = f64}));
  Tensor count = register_buffer("count", tensor({1}, {}, {.dtype = i64}));
  Tensor forward(const Tensor& x) { return x; }
};

void set(const Tensor& target, double value) {
  target.detach().fill_(value);
}

void check_close(const Tensor& actual, const Values& expected) {
  const Values values = actual.to_vector();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == Approx(expected[i]));
}

}  // namespace

TEST_CASE("ema: follows the parameters", "[ema]") {
  Net net;
  train::ExponentialMovingAverage ema(net, {.decay = 0.9});
  set(net.weight, 3);
  set(net.running, 7);
  ema.update();
  ema.update();
  CHECK(ema.updates() == 2);
  const StateDict state = ema.state_dict();
  REQUIRE(state.size() == 2);
  CHECK(state[0].name == "weight");
  check_close(state[0].tensor, {3 - 2 * 0.81, 3 - 0.81});
  CHECK(state[1].name == "num_updates");
  CHECK(state[1].tensor.item() == 2);
  check_close(net.weight, {3, 3});
}

TEST_CASE("ema: warm-up begins with short averages", "[ema]") {
  Net net;
  train::ExponentialMovingAverage ema(net, {.decay = 0.15, .warmup = true});
  set(net.weight, 0);
  ema.update();
  check_close(ema.state_dict()[0].tensor, {0.1, 0.2});
  ema.update();  // 2 / 11 is more than 0.15
  check_close(ema.state_dict()[0].tensor, {0.015, 0.03});
}

TEST_CASE("ema: buffers take part if they are asked to, numbers of steps never", "[ema]") {
  Net net;
  train::ExponentialMovingAverage ema(net, {.decay = 0.5, .buffers = true});
  set(net.running, 7);
  set(net.count, 9);
  ema.update();
  const StateDict state = ema.state_dict();
  REQUIRE(state.size() == 3);
  CHECK(state[1].name == "running");
  check_close(state[1].tensor, {6});
}

TEST_CASE("ema: swaps in and out", "[ema]") {
  Net net;
  const Tensor weight = net.weight;
  train::ExponentialMovingAverage ema(net, {.decay = 0.5});
  set(net.weight, 3);
  ema.update();
  ema.swap();
  CHECK(ema.swapped());
  CHECK(net.weight.is_same(weight));
  check_close(net.weight, {2, 2.5});
  CHECK_THROWS_WITH(ema.update(), Contains("swap()"));
  CHECK_THROWS_WITH(ema.state_dict(), Contains("swap()"));
  ema.swap();
  check_close(net.weight, {3, 3});
  check_close(ema.state_dict()[0].tensor, {2, 2.5});
}

TEST_CASE("ema: goes on where its state was saved", "[ema]") {
  Net net;
  train::ExponentialMovingAverage first(net, {.decay = 0.9, .warmup = true});
  set(net.weight, 3);
  for (int i = 0; i < 4; ++i) first.update();
  Net other;
  train::ExponentialMovingAverage second(other, {.decay = 0.9, .warmup = true});
  second.load_state_dict(first.state_dict());
  set(other.weight, 3);
  first.update();
  second.update();
  CHECK(second.updates() == 5);
  CHECK(second.state_dict()[0].tensor.to_vector() == first.state_dict()[0].tensor.to_vector());
}

TEST_CASE("ema: misuse is explained", "[ema]") {
  Net net;
  CHECK_THROWS_WITH(train::ExponentialMovingAverage(net, {.decay = 1.5}), Contains("1.5"));
  train::ExponentialMovingAverage ema(net);
  CHECK_THROWS_WITH(ema.load_state_dict({}), Contains("num_updates"));
  const Tensor updates = scalar(1);
  CHECK_THROWS_WITH(ema.load_state_dict({{"num_updates", updates}}),
                    Contains("nothing for weight"));
  CHECK_THROWS_WITH(ema.load_state_dict({{"num_updates", updates}, {"weight", ones({3})}}),
                    Contains("[3]") && Contains("weight"));
  net.to(f32);
  CHECK_THROWS_WITH(ema.update(), Contains("f32[2]") && Contains("f64[2]"));
}
