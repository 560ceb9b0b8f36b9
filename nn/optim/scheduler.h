// Learning rates over time.
#pragma once

#include <cstdint>
#include <functional>

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

/// A factor of the learning rate as a function of the step, 0 .. total - 1.
using Schedule = std::function<double(std::int64_t step)>;

/// 1 throughout.
Schedule constant_schedule();

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

/// Applies a schedule to an optimizer, one step at a time.
class Scheduler {
 public:
  /// Sets the factor of step 0 at once. The optimizer must outlive the scheduler.
  Scheduler(Optimizer& optimizer, Schedule schedule);

  /// To be called after each optimizer step.
  void step();

 private:
  Optimizer& optimizer_;
  Schedule schedule_;
  std::int64_t step_ = 0;
};

}  // namespace minidl::optim
