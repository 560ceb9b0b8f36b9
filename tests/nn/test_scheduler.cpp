// Learning-rate schedules against closed forms.

#include <cmath>
#include <numbers>
#include <vector>

#include "minidl/nn/optim/scheduler.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"

using namespace minidl;
using namespace minidl::optim;

namespace {

// torch.optim.lr_scheduler.OneCycleLR(max_lr=1, anneal_strategy='cos'), written from its
// documentation.
double pytorch_one_cycle(int step, int total, double pct_start, double div_factor,
                         double final_div_factor) {
  const double initial = 1 / div_factor;
  const double minimum = initial / final_div_factor;
  const double peak = pct_start * total - 1;
  const double last = total - 1;
  auto anneal = [](double start, double end, double pct) {
    return end + (start - end) / 2 * (1 + std::cos(std::numbers::pi * pct));
  };
  if (step <= peak) return anneal(initial, 1, step / peak);
  return anneal(1, minimum, (step - peak) / (last - peak));
}

}  // namespace

TEST_CASE("schedules: constant", "[scheduler]") {
  for (const std::int64_t step : {0, 1, 1000}) CHECK(constant_schedule()(step) == 1);
}

TEST_CASE("schedules: cosine", "[scheduler]") {
  const Schedule schedule = cosine_schedule(8);
  CHECK(schedule(0) == 1);
  for (int step = 0; step <= 8; ++step) {
    CHECK(schedule(step) == Approx((1 + std::cos(std::numbers::pi * step / 8)) / 2).margin(1e-15));
  }
  CHECK(schedule(100) == Approx(0).margin(1e-15));
}

TEST_CASE("schedules: one cycle is PyTorch's OneCycleLR", "[scheduler]") {
  for (const int total : {8, 10, 37, 400}) {
    const Schedule schedule = one_cycle_schedule(total);
    for (int step = 0; step < total; ++step) {
      CAPTURE(total, step);
      CHECK(schedule(step) == Approx(pytorch_one_cycle(step, total, 0.25, 25, 1e4)).epsilon(1e-12));
    }
  }
}

TEST_CASE("schedules: one cycle with options of its own", "[scheduler]") {
  const Schedule schedule =
      one_cycle_schedule(50, {.warmup = 0.4, .start_factor = 0.1, .final_factor = 0.1 / 50});
  for (int step = 0; step < 50; ++step) {
    CHECK(schedule(step) == Approx(pytorch_one_cycle(step, 50, 0.4, 10, 50)).epsilon(1e-12));
  }
}

TEST_CASE("schedules: values of PyTorch's OneCycleLR worked out by hand", "[scheduler]") {
  // 12 steps, a quarter of them rising: the peak is at step 0.25 * 12 - 1 = 2.
  const Schedule schedule = one_cycle_schedule(12);
  CHECK(schedule(0) == Approx(0.04));
  CHECK(schedule(1) == Approx(0.52));  // half-way up: (0.04 + 1) / 2
  CHECK(schedule(2) == Approx(1));
  CHECK(schedule(11) == Approx(4e-6));
  CHECK(schedule(5) == Approx(4e-6 + (1 - 4e-6) * 0.75));  // a third of the way down: cos(60°)
}

TEST_CASE("schedules: short and one-sided cycles stay between their ends", "[scheduler]") {
  for (const int total : {1, 2, 3, 4, 5}) {
    for (const double warmup : {0.0, 0.25, 1.0}) {
      const Schedule schedule = one_cycle_schedule(total, {.warmup = warmup});
      for (int step = 0; step < total + 2; ++step) {
        CAPTURE(total, warmup, step);
        CHECK(schedule(step) >= 1e-4 / 25 * 0.999);
        CHECK(schedule(step) <= 1);
      }
    }
  }
}

TEST_CASE("schedules: impossible ones are refused", "[scheduler]") {
  CHECK_THROWS_WITH(cosine_schedule(0), Contains("not 0"));
  CHECK_THROWS_WITH(one_cycle_schedule(-1), Contains("not -1"));
  CHECK_THROWS_WITH(one_cycle_schedule(9, {.warmup = 1.5}), Contains("1.5"));
  CHECK_THROWS_WITH(one_cycle_schedule(9, {.warmup = NAN}), Contains("nan"));
}

TEST_CASE("scheduler: drives the learning rate of all groups", "[scheduler]") {
  const Tensor a = ones({1}, {.requires_grad = true});
  const Tensor b = ones({1}, {.requires_grad = true});
  SGD sgd({a}, {.lr = 2});
  sgd.add_group({b}, {.lr = 4});
  Scheduler scheduler(sgd, [](std::int64_t step) { return 1.0 / static_cast<double>(step + 2); });
  CHECK(sgd.lr() == 1);
  scheduler.step();
  scheduler.step();
  CHECK(sgd.lr() == 0.5);
  b.set_grad(ones({1}));
  sgd.step();
  CHECK(b.item() == 0);
}
