#include "minidl/nn/optim/lamb.h"

#include "minidl/core/op.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {
namespace {

// m' / (sqrt(v') + eps) + weight_decay p: AdamW takes it as its step, from 0 at a rate of -1.
Tensor direction_of(const LAMBOptions& options, LAMBState& state, const Tensor& parameter,
                    const Tensor& grad) {
  const kernels::AdamParams params{.lr = -1,
                                   .beta1 = options.beta1,
                                   .beta2 = options.beta2,
                                   .eps = options.eps,
                                   .weight_decay = 0,
                                   .decoupled = true,
                                   .step = ++state.steps};
  const Tensor direction = detail::make_state(parameter);
  ExecContext ctx = context_for(parameter);
  kernels::adam_step(ctx, params, direction.view(), grad.view(), state.exp_avg.view(),
                     state.exp_avg_sq.view());
  kernels::axpy(ctx, options.weight_decay, parameter.view(), direction.view());
  return direction;
}

}  // namespace

LAMB::LAMB(const ParameterList& parameters, const LAMBOptions& options) {
  add_group(parameters, options);
}

void LAMB::check_options(const LAMBOptions& options) const {
  detail::check_not_negative("LAMB", "lr", options.lr);
  detail::check_not_negative("LAMB", "eps", options.eps);
  detail::check_not_negative("LAMB", "weight_decay", options.weight_decay);
  detail::check_fraction("LAMB", "beta1", options.beta1);
  detail::check_fraction("LAMB", "beta2", options.beta2);
}

void LAMB::step() {
  for_each_gradient(
      "LAMB.step", [](const LAMBOptions& options, double lr, Slot& slot, const Tensor& grad) {
        LAMBState& state = slot.state;
        if (!state.exp_avg.defined()) {
          state.exp_avg = detail::make_state(slot.parameter);
          state.exp_avg_sq = detail::make_state(slot.parameter);
        }
        detail::check_state("LAMB", slot.parameter, state.exp_avg);
        const Tensor direction = direction_of(options, state, slot.parameter, grad);
        const Tensor param_norm = detail::l2_norm(slot.parameter);
        const Tensor direction_norm = detail::l2_norm(direction);
        const kernels::LarsParams params{.lr = lr, .trust_coefficient = 1, .adapt = options.adapt};
        ExecContext ctx = context_for(slot.parameter);
        kernels::lars_step(ctx, params, slot.parameter.view(), direction.view(), {},
                           param_norm.view(), direction_norm.view());
      });
}

}  // namespace minidl::optim
