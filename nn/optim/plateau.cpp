#include "minidl/nn/optim/plateau.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "minidl/kernels/common/check.h"

namespace minidl::optim {

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options)
    : optimizer_(optimizer),
      options_(options),
      best_(std::numeric_limits<double>::infinity() * (options.maximize ? -1 : 1)) {
  constexpr const char* name = "ReduceLROnPlateau";
  detail::check_fraction(name, "factor", options.factor);
  detail::check_not_negative(name, "threshold", options.threshold);
  detail::check_not_negative(name, "min_factor", options.min_factor);
  check(options.patience >= 0 && options.cooldown >= 0,
        "{}: patience ({}) and cooldown ({}) must not be negative", name, options.patience,
        options.cooldown);
}

bool ReduceLROnPlateau::is_better(double metric) const {
  if (std::isinf(best_)) return options_.maximize ? metric > best_ : metric < best_;
  // PyTorch's rule: the best times 1 -+ threshold, also where it is negative.
  const double margin =
      options_.relative_threshold ? best_ * options_.threshold : options_.threshold;
  return options_.maximize ? metric > best_ + margin : metric < best_ - margin;
}

void ReduceLROnPlateau::step(double metric) {
  if (is_better(metric)) {
    best_ = metric;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ <= options_.patience) return;
  lr_factor_ = std::max(lr_factor_ * options_.factor, std::min(options_.min_factor, lr_factor_));
  optimizer_.set_lr_factor(lr_factor_);
  cooling_ = options_.cooldown;
  bad_ = 0;
}

}  // namespace minidl::optim
