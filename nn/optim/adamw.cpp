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
  add_parameters(parameters);
  Group group{.options = options, .slots = {}};
  for (const Tensor& parameter : parameters) {
    group.slots.push_back({.parameter = parameter, .exp_avg = {}, .exp_avg_sq = {}});
  }
  groups_.push_back(std::move(group));
}

void AdamW::step() {
  for (Group& group : groups_) {
    kernels::AdamParams params{.lr = group.options.lr * lr_factor_,
                               .beta1 = group.options.beta1,
                               .beta2 = group.options.beta2,
                               .eps = group.options.eps,
                               .weight_decay = group.options.weight_decay,
                               .decoupled = true};
    for (Slot& slot : group.slots) {
      const Tensor grad = slot.parameter.grad();
      if (!grad.defined()) continue;
      if (slot.steps == 0) {
        slot.exp_avg = detail::make_state(slot.parameter);
        slot.exp_avg_sq = detail::make_state(slot.parameter);
      }
      detail::check_state("AdamW", slot.parameter, slot.exp_avg);
      params.step = ++slot.steps;
      ExecContext ctx = context_for(slot.parameter);
      kernels::adam_step(ctx, params, slot.parameter.view(), grad.view(), slot.exp_avg.view(),
                         slot.exp_avg_sq.view());
      slot.parameter.storage().bump_version("AdamW.step");
    }
  }
}

}  // namespace minidl::optim
