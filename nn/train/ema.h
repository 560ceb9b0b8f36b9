// A moving average of a model's parameters, which often generalises better than the last ones.
#pragma once

#include <cstdint>

#include "minidl/core/state_dict.h"
#include "minidl/nn/module.h"

namespace minidl::train {

struct EmaOptions {
  double decay = 0.999;  ///< share of the old average in the new one, 0..1
  bool warmup = false;   ///< the decay is at most (1 + n) / (10 + n) at update n = 0, 1, …
  bool buffers = false;  ///< averages floating-point buffers (running statistics), too
};

/// average = decay * average + (1 - decay) * parameter (Polyak and Juditsky 1992 for the idea; the
/// exponential form is PyTorch's AveragedModel with get_ema_multi_avg_fn).
///
///     train::ExponentialMovingAverage ema(net);
///     … optimizer.step(); ema.update(); …
///     ema.swap();  // the net has the averages
///     validate(net);
///     ema.swap();  // and its own values again
class ExponentialMovingAverage {
 public:
  /// The averages start as the values that the module has now. The module's parameters live as long
  /// as this does; where they are moved or converted later, make a new average.
  explicit ExponentialMovingAverage(const nn::ModuleBase& module, const EmaOptions& options = {});

  /// To be called after each step of the optimizer. Throws Error while swapped.
  void update();
  std::int64_t updates() const { return updates_; }

  /// Exchanges the module's values and the averages.
  void swap();
  bool swapped() const { return swapped_; }

  /// The averages by the names of the parameters, and "num_updates" (i64): not copies. Throws Error
  /// while swapped.
  StateDict state_dict() const;
  /// Copies averages in. Throws Error, and changes nothing, unless every name is there with its
  /// shape.
  void load_state_dict(const StateDict& state);

 private:
  struct Entry {
    std::string name;
    Tensor value;    ///< the module's
    Tensor average;  ///< while swapped, the module's value
  };

  void check_not_swapped(const char* what) const;

  EmaOptions options_;
  std::vector<Entry> entries_;
  std::int64_t updates_ = 0;
  bool swapped_ = false;
};

}  // namespace minidl::train
