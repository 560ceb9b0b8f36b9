#include "minidl/nn/optim/plateau.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "minidl/kernels/common/check.h"

namespace minidl::optim {
namespace {

constexpr const char* kName = "ReduceLROnPlateau";

}  // namespace

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const PlateauOptions& options)
    : optimizer_(optimizer),
      options_(options),
      best_(std::numeric_limits<double>::infinity() * (options.maximize ? -1 : 1)) {
  detail::check_fraction(kName, "factor", options.factor);
  detail::check_not_negative(kName, "threshold", options.threshold);
  detail::check_not_negative(kName, "min_factor", options.min_factor);
  check(options.patience >= 0 && options.cooldown >= 0,
        "{}: patience ({}) and cooldown ({}) must not be negative", kName, options.patience,
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

StateDict ReduceLROnPlateau::state_dict() const {
  detail::StateWriter writer(kName);
  writer.write("best", best_);
  writer.write("lr_factor", lr_factor_);
  writer.write("num_bad_epochs", bad_);
  writer.write("cooldown_counter", cooling_);
  return writer.entries();
}

void ReduceLROnPlateau::load_state_dict(const StateDict& state) {
  detail::StateReader reader(kName, state);
  double best = 0;
  double lr_factor = 1;
  std::int64_t bad = 0;
  std::int64_t cooling = 0;
  reader.read("best", best);
  reader.read("lr_factor", lr_factor);
  reader.read("num_bad_epochs", bad);
  reader.read("cooldown_counter", cooling);
  reader.finish();
  best_ = best;
  lr_factor_ = lr_factor;
  bad_ = bad;
  cooling_ = cooling;
  optimizer_.set_lr_factor(lr_factor_);
}

}  // namespace minidl::optim
