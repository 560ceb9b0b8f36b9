#include "minidl/nn/optim/scheduler.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "minidl/kernels/common/check.h"

namespace minidl::optim {
namespace {

constexpr const char* kName = "Scheduler";

// From `from` to `to` along half a cosine as `progress` goes from 0 to 1.
double anneal(double from, double to, double progress) {
  const double p = std::clamp(progress, 0.0, 1.0);
  return to + (from - to) * (1 + std::cos(std::numbers::pi * p)) / 2;
}

void check_steps(const char* schedule, std::int64_t steps) {
  check(steps > 0, "{} schedule: the number of steps must be positive, not {}", schedule, steps);
}

void check_factor(const char* schedule, const char* name, double value) {
  check(std::isfinite(value) && value >= 0,
        "{} schedule: {} must be a finite number that is not negative, not {}", schedule, name,
        value);
}

void check_milestones(const char* schedule, const std::vector<std::int64_t>& milestones) {
  check(std::is_sorted(milestones.begin(), milestones.end()) &&
            (milestones.empty() || milestones.front() >= 0),
        "{} schedule: milestones must be steps in ascending order", schedule);
}

/// How many milestones a step has reached.
std::size_t reached(const std::vector<std::int64_t>& milestones, std::int64_t step) {
  return static_cast<std::size_t>(std::upper_bound(milestones.begin(), milestones.end(), step) -
                                  milestones.begin());
}

}  // namespace

Schedule constant_schedule() {
  return [](std::int64_t) { return 1.0; };
}

Schedule constant_schedule(double factor, std::int64_t total) {
  check_factor("constant", "factor", factor);
  check_steps("constant", total);
  return [factor, total](std::int64_t step) { return step < total ? factor : 1.0; };
}

Schedule step_schedule(std::int64_t step_size, double gamma) {
  check_steps("step", step_size);
  check_factor("step", "gamma", gamma);
  return [step_size, gamma](std::int64_t step) {
    const std::int64_t reductions = step / step_size;
    return std::pow(gamma, static_cast<double>(reductions));
  };
}

Schedule multi_step_schedule(const std::vector<std::int64_t>& milestones, double gamma) {
  check_milestones("multi-step", milestones);
  check_factor("multi-step", "gamma", gamma);
  return [milestones, gamma](std::int64_t step) {
    return std::pow(gamma, static_cast<double>(reached(milestones, step)));
  };
}

Schedule exponential_schedule(double gamma) {
  check_factor("exponential", "gamma", gamma);
  return [gamma](std::int64_t step) { return std::pow(gamma, static_cast<double>(step)); };
}

Schedule linear_schedule(std::int64_t total, double start, double end) {
  check_steps("linear", total);
  check_factor("linear", "start", start);
  check_factor("linear", "end", end);
  return [=](std::int64_t step) {
    const double progress = static_cast<double>(std::min(step, total)) / static_cast<double>(total);
    return start + (end - start) * progress;
  };
}

Schedule polynomial_schedule(std::int64_t total, double power) {
  check_steps("polynomial", total);
  check_factor("polynomial", "power", power);
  return [=](std::int64_t step) {
    const double rest = 1 - static_cast<double>(step) / static_cast<double>(total);
    return rest > 0 ? std::pow(rest, power) : 0.0;
  };
}

Schedule chained_schedule(const std::vector<Schedule>& schedules) {
  return [schedules](std::int64_t step) {
    double factor = 1;
    for (const Schedule& schedule : schedules) factor *= schedule(step);
    return factor;
  };
}

Schedule sequential_schedule(const std::vector<Schedule>& schedules,
                             const std::vector<std::int64_t>& milestones) {
  check(schedules.size() == milestones.size() + 1,
        "sequential schedule: {} schedules need {} milestones, not {}", schedules.size(),
        schedules.empty() ? 0 : schedules.size() - 1, milestones.size());
  check_milestones("sequential", milestones);
  return [schedules, milestones](std::int64_t step) {
    const std::size_t index = reached(milestones, step);
    return schedules[index](index == 0 ? step : step - milestones[index - 1]);
  };
}

Schedule cosine_schedule(std::int64_t total) {
  check_steps("cosine", total);
  return [total](std::int64_t step) {
    return anneal(1, 0, static_cast<double>(step) / static_cast<double>(total));
  };
}

Schedule one_cycle_schedule(std::int64_t total, const OneCycleOptions& options) {
  check_steps("one-cycle", total);
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

StateDict Scheduler::state_dict() const {
  detail::StateWriter writer(kName);
  writer.write("step", step_);
  return writer.entries();
}

void Scheduler::load_state_dict(const StateDict& state) {
  detail::StateReader reader(kName, state);
  std::int64_t step = 0;
  reader.read("step", step);
  reader.finish();
  check(step >= 0, "{}: the state is at step {}", kName, step);
  optimizer_.set_lr_factor(schedule_(step));
  step_ = step;
}

}  // namespace minidl::optim
