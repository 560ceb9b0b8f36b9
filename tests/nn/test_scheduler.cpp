// Learning-rate schedules against closed forms.

#include <cmath>
#include <numbers>
#include <vector>

#include "minidl/nn/optim/plateau.h"
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

TEST_CASE("schedules: factors that PyTorch's schedulers of these names give", "[scheduler]") {
  struct Row {
    Schedule schedule;
    std::vector<double> factors;
  };
  const std::vector<Row> rows{
      {constant_schedule(0.5, 2), {0.5, 0.5, 1, 1}},
      {step_schedule(2, 0.5), {1, 1, 0.5, 0.5, 0.25}},
      {multi_step_schedule({1, 3}), {1, 0.1, 0.1, 0.01, 0.01}},
      {multi_step_schedule({2, 2}, 0.5), {1, 1, 0.25}},
      {multi_step_schedule({}), {1, 1}},
      {exponential_schedule(0.5), {1, 0.5, 0.25}},
      {linear_schedule(2), {1.0 / 3, 2.0 / 3, 1, 1}},
      {linear_schedule(4, 1, 0), {1, 0.75, 0.5, 0.25, 0, 0}},
      {polynomial_schedule(4), {1, 0.75, 0.5, 0.25, 0, 0}},
      {polynomial_schedule(2, 2), {1, 0.25, 0}},
      {chained_schedule({}), {1, 1}},
      {chained_schedule({constant_schedule(0.5, 1), exponential_schedule(0.5)}), {0.5, 0.5, 0.25}},
      {sequential_schedule({exponential_schedule(0.5), linear_schedule(2, 0, 1)}, {2}),
       {1, 0.5, 0, 0.5, 1, 1}},
      {sequential_schedule({exponential_schedule(0.5)}, {}), {1, 0.5}},
  };
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t step = 0; step < rows[row].factors.size(); ++step) {
      CAPTURE(row, step);
      CHECK(rows[row].schedule(static_cast<std::int64_t>(step)) ==
            Approx(rows[row].factors[step]).margin(1e-15));
    }
  }
}

TEST_CASE("schedules: options out of range are refused", "[scheduler]") {
  CHECK_THROWS_WITH(constant_schedule(-1, 2), Contains("constant") && Contains("-1"));
  CHECK_THROWS_WITH(constant_schedule(1, 0), Contains("not 0"));
  CHECK_THROWS_WITH(step_schedule(0), Contains("step schedule"));
  CHECK_THROWS_WITH(step_schedule(1, NAN), Contains("gamma"));
  CHECK_THROWS_WITH(multi_step_schedule({3, 1}), Contains("ascending"));
  CHECK_THROWS_WITH(multi_step_schedule({-1}), Contains("ascending"));
  CHECK_THROWS_WITH(exponential_schedule(INFINITY), Contains("gamma"));
  CHECK_THROWS_WITH(linear_schedule(0), Contains("linear"));
  CHECK_THROWS_WITH(polynomial_schedule(3, -1), Contains("power"));
  CHECK_THROWS_WITH(sequential_schedule({}, {}), Contains("0 schedules"));
  CHECK_THROWS_WITH(sequential_schedule({constant_schedule()}, {1}), Contains("need 0"));
}

TEST_CASE("plateau: reduces after more than `patience` calls without progress", "[scheduler]") {
  const Tensor p = ones({1}, {.requires_grad = true});
  SGD sgd({p}, {.lr = 2});
  ReduceLROnPlateau plateau(sgd, {.factor = 0.5, .patience = 1, .cooldown = 1, .min_factor = 0.2});
  struct Row {
    double metric, factor;
  };
  const std::vector<Row> rows{
      {1, 1},      {0.99995, 1},             // by less than the threshold: no progress
      {1.1, 0.5},                            // the second such call in a row
      {9, 0.5},                              // cooling down
      {NAN, 0.5},  {0.5, 0.5},               // progress
      {0.6, 0.5},  {0.6, 0.25},  {9, 0.25},  // cooling down
      {0.6, 0.25}, {0.6, 0.2},               // not below the minimum
  };
  for (const Row& row : rows) {
    CAPTURE(row.metric);
    plateau.step(row.metric);
    CHECK(plateau.lr_factor() == Approx(row.factor));
    CHECK(sgd.lr() == Approx(2 * row.factor));
  }
}

TEST_CASE("plateau: of a metric that should grow, with an absolute threshold", "[scheduler]") {
  const Tensor p = ones({1}, {.requires_grad = true});
  SGD sgd({p}, {.lr = 1});
  ReduceLROnPlateau plateau(
      sgd, {.maximize = true, .patience = 0, .threshold = 0.5, .relative_threshold = false});
  plateau.step(-3);
  plateau.step(-2);
  CHECK(plateau.lr_factor() == 1);
  plateau.step(-1.6);
  CHECK(plateau.lr_factor() == Approx(0.1));
  plateau.step(5);
  CHECK(plateau.lr_factor() == Approx(0.1));
  CHECK_THROWS_WITH(ReduceLROnPlateau(sgd, {.factor = 1}), Contains("factor"));
  CHECK_THROWS_WITH(ReduceLROnPlateau(sgd, {.patience = -1}), Contains("patience (-1)"));
  CHECK_THROWS_WITH(ReduceLROnPlateau(sgd, {.threshold = NAN}), Contains("threshold"));
}
