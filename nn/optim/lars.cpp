#include "minidl/nn/optim/lars.h"

#include "minidl/core/op.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {

LARS::LARS(const ParameterList& parameters, const LARSOptions& options) {
  add_group(parameters, options);
}

void LARS::check_options(const LARSOptions& options) const {
  detail::check_not_negative("LARS", "lr", options.lr);
  detail::check_not_negative("LARS", "weight_decay", options.weight_decay);
  detail::check_not_negative("LARS", "trust_coefficient", options.trust_coefficient);
  detail::check_not_negative("LARS", "eps", options.eps);
  detail::check_fraction("LARS", "momentum", options.momentum);
}

void LARS::step() {
  for_each_gradient(
      "LARS.step", [](const LARSOptions& options, double lr, Slot& slot, const Tensor& grad) {
        Tensor& velocity = slot.state.velocity;
        if (!velocity.defined() && options.momentum > 0) {
          velocity = detail::make_state(slot.parameter);
        }
        if (velocity.defined()) detail::check_state("LARS", slot.parameter, velocity);
        const kernels::LarsParams params{.lr = lr,
                                         .momentum = options.momentum,
                                         .weight_decay = options.weight_decay,
                                         .trust_coefficient = options.trust_coefficient,
                                         .eps = options.eps,
                                         .adapt = options.adapt};
        const Tensor param_norm = detail::l2_norm(slot.parameter);
        const Tensor grad_norm = detail::l2_norm(grad);
        ExecContext ctx = context_for(slot.parameter);
        kernels::lars_step(ctx, params, slot.parameter.view(), grad.view(),
                           velocity.defined() ? velocity.view() : kernels::View{},
                           param_norm.view(), grad_norm.view());
      });
}

}  // namespace minidl::optim
