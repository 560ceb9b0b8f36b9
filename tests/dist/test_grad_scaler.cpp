// An overflow on one rank is an overflow on all of them.

#include <limits>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/nn/optim/sgd.h"
#include "minidl/nn/train/grad_scaler.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using test::world;

// The gradients of the ranks differ on purpose: nothing but the scaler talks.
TEST_CASE("grad scaler: all ranks skip the step that overflows on one", "[amp]") {
  const int culprit = GENERATE_COPY(range(0, world().size()));
  CAPTURE(culprit);
  const Tensor weight = ones({5}).set_requires_grad();
  optim::SGD optimizer({weight}, {.lr = 0.1});
  GradScaler scaler({.init_scale = 256}, &world().communicator());
  for (int step = 0; step < 4; ++step) {
    const bool overflows = step == 1;
    const double slope = overflows && world().rank() == culprit
                             ? std::numeric_limits<double>::infinity()
                             : 1.0 + world().rank();
    const Tensor before = weight.detach().clone();
    optimizer.zero_grad();
    scaler.scale((weight * slope).sum()).backward();
    CHECK(scaler.step(optimizer) == !overflows);
    CHECK(equal(before, weight) == overflows);
    scaler.update();
    CHECK(scaler.get_scale() == (step == 0 ? 256 : 128));
  }
}

}  // namespace
}  // namespace minidl
