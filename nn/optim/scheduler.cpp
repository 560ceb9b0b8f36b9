#include "minidl/nn/optim/scheduler.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "minidl/kernels/common/check.h"

namespace minidl::optim {
namespace {

// From `from` to `to` along half a cosine as `progress` goes from 0 to 1.
double anneal(double from, double to, double progress) {
  const double p = std::clamp(progress, 0.0, 1.0);
  return to + (from - to) * (1 + std::cos(std::numbers::pi * p)) / 2;
}

}  // namespace

Schedule constant_schedule() {
  return [](std::int64_t) { return 1.0; };
}

Schedule cosine_schedule(std::int64_t total) {
  check(total > 0, "cosine schedule: the number of steps must be positive, not {}", total);
  return [total](std::int64_t step) {
    return anneal(1, 0, static_cast<double>(step) / static_cast<double>(total));
  };
}

Schedule one_cycle_schedule(std::int64_t total, const OneCycleOptions& options) {
  check(total > 0, "one-cycle schedule: the number of steps must be positive, not {}", total);
  check(options.warmup >= 0 && options.warmup <= 1,
        "one-cycle schedule: warmup must be between 0 and 1, not {}", options.warmup);
  return [total, options](std::int64_t step) {
    const double peak = std::max(options.warmup * static_cast<double>(total) - 1, 0.0);
    const auto at = static_cast<double>(step);
    if (at < peak) return anneal(options.start_factor, 1, at / peak);
    const double fall = std::max(static_cast<double>(total - 1) - peak, 1.0);
    return anneal(1, options.final_factor, (at - peak) / fall);
  };
}

Scheduler::Scheduler(Optimizer& optimizer, Schedule schedule)
    : optimizer_(optimizer), schedule_(std::move(schedule)) {
  optimizer_.set_lr_factor(schedule_(0));
}

void Scheduler::step() {
  optimizer_.set_lr_factor(schedule_(++step_));
}

}  // namespace minidl::optim
