#include "minidl/nn/optim/lion.h"

#include "minidl/core/op.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {

Lion::Lion(const ParameterList& parameters, const LionOptions& options) {
  add_group(parameters, options);
}

void Lion::check_options(const LionOptions& options) const {
  detail::check_not_negative("Lion", "lr", options.lr);
  detail::check_not_negative("Lion", "weight_decay", options.weight_decay);
  detail::check_fraction("Lion", "beta1", options.beta1);
  detail::check_fraction("Lion", "beta2", options.beta2);
}

void Lion::step() {
  for_each_gradient(
      "Lion.step", [](const LionOptions& options, double lr, Slot& slot, const Tensor& grad) {
        Tensor& exp_avg = slot.state.exp_avg;
        if (!exp_avg.defined()) exp_avg = detail::make_state(slot.parameter);
        detail::check_state("Lion", slot.parameter, exp_avg);
        const kernels::LionParams params{.lr = lr,
                                         .beta1 = options.beta1,
                                         .beta2 = options.beta2,
                                         .weight_decay = options.weight_decay};
        ExecContext ctx = context_for(slot.parameter);
        kernels::lion_step(ctx, params, slot.parameter.view(), grad.view(), exp_avg.view());
      });
}

}  // namespace minidl::optim
