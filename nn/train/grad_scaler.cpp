#include "minidl/nn/train/grad_scaler.h"

#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/common/check.h"

namespace minidl {

GradScaler::GradScaler(const GradScalerOptions& options, Communicator* communicator)
    : options_(options), communicator_(communicator), scale_(options.init_scale) {
  check(options.init_scale > 0 && std::isfinite(options.init_scale),
        "GradScaler: init_scale must be positive, got {}", options.init_scale);
  check(options.growth_factor > 1, "GradScaler: growth_factor must be above 1, got {}",
        options.growth_factor);
  check(options.backoff_factor > 0 && options.backoff_factor < 1,
        "GradScaler: backoff_factor must be between 0 and 1, got {}", options.backoff_factor);
  check(options.growth_interval > 0, "GradScaler: growth_interval must be positive, got {}",
        options.growth_interval);
}

Tensor GradScaler::scale(const Tensor& loss) const {
  return options_.enabled ? loss * scale_ : loss;
}

void GradScaler::unscale_(optim::Optimizer& optimizer) {
  if (!options_.enabled) return;
  check(!progress_.contains(&optimizer),
        "GradScaler: unscale_ was already called for this optimizer since the last update()");
  const NoGradGuard no_grad;
  Tensors norms;
  const Tensors parameters = optimizer.parameters();
  for (const Tensor& parameter : parameters) {
    const Tensor grad = parameter.grad();
    if (!grad.defined()) continue;
    check(grad.dtype() != f16,
          "GradScaler: a gradient {} cannot be divided in f16; keep the parameters in f32 and "
          "compute under Autocast(f16)",
          describe(grad));
    // Squares of f32 summed in f64 cannot overflow: the norm is finite if every element is.
    norms.push_back(optim::detail::l2_norm(grad).to(f64).reshape({1}));
    grad.mul_(1 / scale_);
  }
  const Device device = parameters.front().device();
  const Tensor overflow = norms.empty() ? zeros({}, {.device = device})
                                        : any(logical_not(isfinite(cat(norms)))).to(f32);
  Progress progress{.overflow = overflow, .sharing = nullptr};
  if (communicator_ != nullptr && communicator_->size() > 1) {
    progress.sharing = communicator_->all_reduce(overflow, Reduction::max, "gradient overflow");
  }
  progress_.emplace(&optimizer, progress);
}

bool GradScaler::step(optim::Optimizer& optimizer) {
  if (!options_.enabled) {
    optimizer.step();
    return true;
  }
  if (!progress_.contains(&optimizer)) unscale_(optimizer);
  Progress& progress = progress_.at(&optimizer);
  check(!progress.stepped,
        "GradScaler: step was already called for this optimizer since the last update()");
  progress.stepped = true;
  if (progress.sharing) progress.sharing->wait();
  if (progress.overflow.item() > 0) {
    overflowed_ = true;
    return false;
  }
  optimizer.step();
  return true;
}

void GradScaler::update() {
  if (!options_.enabled) return;
  check(!progress_.empty(), "GradScaler: update() without a step since the last one");
  progress_.clear();
  if (overflowed_) {
    scale_ *= options_.backoff_factor;
    steps_since_overflow_ = 0;
  } else if (++steps_since_overflow_ == options_.growth_interval) {
    scale_ *= options_.growth_factor;
    steps_since_overflow_ = 0;
  }
  overflowed_ = false;
}

std::map<std::string, double> GradScaler::state_dict() const {
  return {{"scale", scale_}, {"growth_tracker", static_cast<double>(steps_since_overflow_)}};
}

void GradScaler::load_state_dict(const std::map<std::string, double>& state) {
  for (const char* name : {"scale", "growth_tracker"}) {
    check(state.contains(name), "GradScaler: the state has no '{}'", name);
  }
  scale_ = state.at("scale");
  steps_since_overflow_ = static_cast<std::int64_t>(state.at("growth_tracker"));
}

}  // namespace minidl
