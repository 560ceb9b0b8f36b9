#include <limits>

#include "minidl/core/autocast.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/functions.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/random.h"
#include "minidl/nn/optim/adam.h"
#include "minidl/nn/optim/sgd.h"
#include "minidl/nn/train/grad_scaler.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Setting {
  Tensor weight = rand({3, 2}).set_requires_grad();
  Tensor bias = rand({2}).set_requires_grad();
  optim::AdamW optimizer{{weight, bias}, {.lr = 0.1}};

  Tensor loss(double disturbance = 0) const {
    const Tensor x = full({4, 3}, 0.25);
    return square(linear(x, weight.t(), bias)).mean() + (bias * disturbance).sum();
  }
};

}  // namespace

TEST_CASE("grad scaler: a scaled step is the plain one", "[amp]") {
  manual_seed(7);
  Setting plain;
  manual_seed(7);
  Setting scaled;
  GradScaler scaler({.init_scale = 1024});  // a power of two: no digit is lost
  for (int step = 0; step < 4; ++step) {
    plain.optimizer.zero_grad();
    plain.loss().backward();
    plain.optimizer.step();
    scaled.optimizer.zero_grad();
    scaler.scale(scaled.loss()).backward();
    CHECK(scaler.step(scaled.optimizer));
    scaler.update();
    CHECK(equal(plain.weight, scaled.weight));
    CHECK(equal(plain.bias, scaled.bias));
  }
}

TEST_CASE("grad scaler: an overflow skips exactly that step and halves the scale", "[amp]") {
  const double bad = GENERATE(values({kInfinity, -kInfinity, kNan}));
  CAPTURE(bad);
  Setting setting;
  GradScaler scaler({.init_scale = 1024, .growth_interval = 3});
  std::vector<double> scales;
  for (int step = 0; step < 8; ++step) {
    const Tensor before = setting.weight.detach().clone();
    setting.optimizer.zero_grad();
    scaler.scale(setting.loss(step == 2 ? bad : 0)).backward();
    CHECK(scaler.step(setting.optimizer) == (step != 2));
    CHECK(equal(before, setting.weight) == (step == 2));
    scaler.update();
    scales.push_back(scaler.get_scale());
  }
  CHECK(scales == std::vector<double>{1024, 1024, 512, 512, 512, 1024, 1024, 1024});
}

TEST_CASE("grad scaler: unscaled gradients may be looked at", "[amp]") {
  Setting setting;
  setting.loss().backward();
  const Tensor expected = setting.weight.grad().clone();
  setting.optimizer.zero_grad();
  GradScaler scaler;
  scaler.scale(setting.loss()).backward();
  scaler.unscale_(setting.optimizer);
  CHECK(allclose(setting.weight.grad(), expected));
  CHECK_THROWS_WITH(scaler.unscale_(setting.optimizer), Contains("already called"));
  scaler.step(setting.optimizer);
  CHECK_THROWS_WITH(scaler.step(setting.optimizer), Contains("already called"));
  scaler.update();
  CHECK_THROWS_WITH(scaler.update(), Contains("without a step"));
}

TEST_CASE("grad scaler: gradients that f16 would lose are kept", "[amp]") {
  const Tensor x = full({1, 1}, 1e-4);
  const Tensor weight = full({1, 1}, 1e-2).set_requires_grad();
  optim::SGD optimizer({weight}, {.lr = 0});
  const auto gradient = [&](GradScaler& scaler) {
    optimizer.zero_grad();
    Tensor loss;
    {
      const Autocast amp(f16);
      // The gradient that comes back into f16 is 1e-4 * 1e-4, below the smallest f16.
      loss = matmul(x, weight).to(f32).sum() * 1e-5;
    }
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    return weight.grad().item();
  };
  GradScaler off({.enabled = false});
  GradScaler on;
  CHECK(gradient(off) == 0);
  CHECK(gradient(on) == Approx(1e-9).epsilon(0.01));
}

TEST_CASE("grad scaler: its state moves to another one", "[amp]") {
  GradScaler from({.init_scale = 64});
  GradScaler to;
  to.load_state_dict(from.state_dict());
  CHECK(to.get_scale() == 64);
  CHECK(to.state_dict() == from.state_dict());
  CHECK_THROWS_WITH(to.load_state_dict({{"scale", 1}}), Contains("has no 'growth_tracker'"));
}

TEST_CASE("grad scaler: misuse is told", "[amp]") {
  CHECK_THROWS_WITH(GradScaler({.init_scale = 0}), Contains("init_scale must be positive"));
  CHECK_THROWS_WITH(GradScaler({.growth_factor = 1}), Contains("growth_factor must be above 1"));
  CHECK_THROWS_WITH(GradScaler({.backoff_factor = 1}), Contains("backoff_factor must be between"));
  CHECK_THROWS_WITH(GradScaler({.growth_interval = 0}), Contains("growth_interval must be"));
  const Tensor half = ones({2}, {.dtype = f16}).set_requires_grad();
  optim::SGD optimizer({half}, {.lr = 0.1});
  half.sum().backward();
  GradScaler scaler;
  CHECK_THROWS_WITH(scaler.step(optimizer), Contains("keep the parameters in f32"));
}
