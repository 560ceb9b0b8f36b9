// Learning rates over time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

/// A factor of the learning rate as a function of the step, 0 .. total - 1.
using Schedule = std::function<double(std::int64_t step)>;

/// 1 throughout.
Schedule constant_schedule();
/// `factor` for the first `total` steps, then 1 (PyTorch's ConstantLR).
Schedule constant_schedule(double factor, std::int64_t total);

/// gamma^k after k times step_size steps (StepLR).
Schedule step_schedule(std::int64_t step_size, double gamma = 0.1);
/// gamma^k from the k-th milestone on (MultiStepLR). Milestones are steps, not to decrease.
Schedule multi_step_schedule(const std::vector<std::int64_t>& milestones, double gamma = 0.1);
/// gamma^step (ExponentialLR).
Schedule exponential_schedule(double gamma);

/// On a line from `start` at step 0 to `end` at step `total`, and there from then on (LinearLR); a
/// warm-up.
Schedule linear_schedule(std::int64_t total, double start = 1.0 / 3, double end = 1);
/// (1 - step / total)^power, 0 from step `total` on (PolynomialLR).
Schedule polynomial_schedule(std::int64_t total, double power = 1);

/// From 1 at step 0 along half a cosine to 0 at step `total` (Loshchilov and Hutter 2017, one
/// cycle).
Schedule cosine_schedule(std::int64_t total);

struct OneCycleOptions {
  double warmup = 0.25;             ///< share of the steps that rise
  double start_factor = 1.0 / 25;   ///< of the peak
  double final_factor = 1e-4 / 25;  ///< of the peak
};

/// Rises along half a cosine from start_factor to 1, the peak, and falls to final_factor (Smith and
/// Topin 2018; PyTorch's OneCycleLR without the momentum).
Schedule one_cycle_schedule(std::int64_t total, const OneCycleOptions& options = {});

/// The product of several, each of the same step (ChainedScheduler).
Schedule chained_schedule(const std::vector<Schedule>& schedules);
/// One after the other: each starts at its own step 0, the first at once and the others at the
/// milestones, one fewer than there are schedules (SequentialLR).
///
///     sequential_schedule({linear_schedule(500), cosine_schedule(9500)}, {500})
Schedule sequential_schedule(const std::vector<Schedule>& schedules,
                             const std::vector<std::int64_t>& milestones);

/// Applies a schedule to an optimizer, one step at a time.
class Scheduler {
 public:
  /// Sets the factor of step 0 at once. The optimizer must outlive the scheduler.
  Scheduler(Optimizer& optimizer, Schedule schedule);

  /// To be called after each optimizer step.
  void step();

  /// "Scheduler.step". The schedule itself is not in it.
  StateDict state_dict() const;
  /// Goes on from that step, and sets its factor. Throws Error, and changes nothing, if the state
  /// is not a scheduler's.
  void load_state_dict(const StateDict& state);

 private:
  Optimizer& optimizer_;
  Schedule schedule_;
  std::int64_t step_ = 0;
};

}  // namespace minidl::optim
