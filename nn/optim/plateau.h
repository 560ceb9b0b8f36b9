// A learning rate that falls when nothing gets better.
#pragma once

#include <cstdint>

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct PlateauOptions {
  bool maximize = false;           ///< whether larger metrics are better (PyTorch's mode "max")
  double factor = 0.1;             ///< what the learning rate is multiplied with, below 1
  std::int64_t patience = 10;      ///< calls without progress that are still borne
  double threshold = 1e-4;         ///< how much better counts as progress
  bool relative_threshold = true;  ///< as a share of the best metric, else as it is
  std::int64_t cooldown = 0;       ///< calls after a reduction that are not judged
  double min_factor = 0;           ///< of the first learning rate: it never falls below
};

/// PyTorch's ReduceLROnPlateau.
class ReduceLROnPlateau {
 public:
  /// The optimizer must outlive the scheduler. Throws Error where an option is out of range.
  explicit ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options = {});

  /// To be called after each validation, with what it found. NaN is no progress.
  void step(double metric);

  /// Of the first learning rate.
  double lr_factor() const { return lr_factor_; }

  /// The best metric, the factor and what is being counted: "ReduceLROnPlateau.best" and so on. The
  /// options are not in it.
  StateDict state_dict() const;
  /// Goes on from there, and sets the factor. Throws Error, and changes nothing, where it does not
  /// fit.
  void load_state_dict(const StateDict& state);

 private:
  bool is_better(double metric) const;

  Optimizer& optimizer_;
  PlateauOptions options_;
  double best_;
  double lr_factor_ = 1;
  std::int64_t bad_ = 0;
  std::int64_t cooling_ = 0;
};

}  // namespace minidl::optim
