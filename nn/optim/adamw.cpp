#include "minidl/nn/optim/adamw.h"

#include "minidl/core/op.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {

AdamW::AdamW(const Tensors& parameters, const AdamWOptions& options) {
  add_group(parameters, options);
}

void AdamW::add_group(const Tensors& parameters, const AdamWOptions& options) {
  detail::check_not_negative("AdamW", "lr", options.lr);
  detail::check_not_negative("AdamW", "eps", options.eps);
  detail::check_not_negative("AdamW", "weight_decay", options.weight_decay);
  detail::check_fraction("AdamW", "beta1", options.beta1);
  detail::check_fraction("AdamW", "beta2", options.beta2);
  append_group(parameters, options);
}

void AdamW::step() {
  for_each_gradient("AdamW.step",
                    [](const AdamWOptions& options, double lr, Slot& slot, const Tensor& grad) {
                      AdamWState& state = slot.state;
                      if (state.steps == 0) {
                        state.exp_avg = detail::make_state(slot.parameter);
                        state.exp_avg_sq = detail::make_state(slot.parameter);
                      }
                      detail::check_state("AdamW", slot.parameter, state.exp_avg);
                      const kernels::AdamParams params{.lr = lr,
                                                       .beta1 = options.beta1,
                                                       .beta2 = options.beta2,
                                                       .eps = options.eps,
                                                       .weight_decay = options.weight_decay,
                                                       .decoupled = true,
                                                       .step = ++state.steps};
                      ExecContext ctx = context_for(slot.parameter);
                      kernels::adam_step(ctx, params, slot.parameter.view(), grad.view(),
                                         state.exp_avg.view(), state.exp_avg_sq.view());
                    });
}

}  // namespace minidl::optim
