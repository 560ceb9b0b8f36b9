// Loss scaling for f16 (Micikevicius et al. 2018): gradients too small for f16 are lifted by a
// factor that backs off when something overflows and grows when nothing has for a while.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "minidl/core/communicator.h"
#include "minidl/core/tensor.h"
#include "minidl/nn/optim/optimizer.h"

namespace minidl {

struct GradScalerOptions {
  double init_scale = 65536;
  double growth_factor = 2;     ///< of the scale after growth_interval steps without an overflow
  double backoff_factor = 0.5;  ///< of the scale after an overflow
  std::int64_t growth_interval = 2000;
  bool enabled = true;  ///< false: every call passes through, so that one loop serves all dtypes
};

/// PyTorch's torch.amp.GradScaler:
///
///     dl::GradScaler scaler({}, &world.communicator());
///     scaler.scale(loss).backward();
///     scaler.unscale_(optimizer);  // only if gradients are to be clipped or looked at
///     scaler.step(optimizer);      // skipped if a gradient is infinite or NaN
///     scaler.update();
///
/// Whether a gradient overflowed is found on the gradients' device; the host reads one number, in
/// step. Ranks that share a communicator share that number: if one of them skips, all do.
class GradScaler {
 public:
  /// Throws Error for factors that do not grow or back off. The communicator must outlive the
  /// scaler.
  explicit GradScaler(const GradScalerOptions& options = {}, Communicator* communicator = nullptr);

  /// loss * get_scale().
  Tensor scale(const Tensor& loss) const;

  /// Divides the gradients of the optimizer's parameters by the scale. At most once between updates
  /// for each optimizer; throws Error otherwise, and for f16 gradients: keep parameters in f32 and
  /// use Autocast. Collective.
  void unscale_(optim::Optimizer& optimizer);

  /// unscale_, unless that was called, and optimizer.step() unless a gradient of any rank
  /// overflowed. Returns whether the step was taken. Collective.
  bool step(optim::Optimizer& optimizer);

  /// Adapts the scale after the steps of an iteration. Throws Error if there was none.
  void update();

  double get_scale() const { return options_.enabled ? scale_ : 1; }
  bool enabled() const { return options_.enabled; }
  std::int64_t steps_since_overflow() const { return steps_since_overflow_; }

  /// "scale" and "growth_tracker", PyTorch's names.
  std::map<std::string, double> state_dict() const;
  /// Throws Error if an entry is missing.
  void load_state_dict(const std::map<std::string, double>& state);

 private:
  struct Progress {
    Tensor overflow;  // f32, one number: above 0 if a gradient of any rank overflowed
    WorkPtr sharing;
    bool stepped = false;
  };

  GradScalerOptions options_;
  Communicator* communicator_;
  double scale_;
  std::int64_t steps_since_overflow_ = 0;
  bool overflowed_ = false;  // in a step since the last update
  std::map<const optim::Optimizer*, Progress> progress_;
};

}  // namespace minidl
