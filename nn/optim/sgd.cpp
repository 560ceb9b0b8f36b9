#include "minidl/nn/optim/sgd.h"

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {

SGD::SGD(const Tensors& parameters, const SGDOptions& options) {
  add_group(parameters, options);
}

void SGD::add_group(const Tensors& parameters, const SGDOptions& options) {
  detail::check_not_negative("SGD", "lr", options.lr);
  detail::check_not_negative("SGD", "weight_decay", options.weight_decay);
  detail::check_fraction("SGD", "momentum", options.momentum);
  detail::check_fraction("SGD", "dampening", options.dampening);
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
        "SGD: Nesterov's momentum needs momentum above 0 and no dampening");
  add_parameters(parameters);
  Group group{.options = options, .slots = {}};
  for (const Tensor& parameter : parameters) group.slots.push_back({parameter, {}});
  groups_.push_back(std::move(group));
}

void SGD::step() {
  for (Group& group : groups_) {
    kernels::SgdParams params{.lr = group.options.lr * lr_factor_,
                              .momentum = group.options.momentum,
                              .dampening = group.options.dampening,
                              .weight_decay = group.options.weight_decay,
                              .nesterov = group.options.nesterov};
    for (Slot& slot : group.slots) {
      const Tensor grad = slot.parameter.grad();
      if (!grad.defined()) continue;
      params.first_step = !slot.velocity.defined();
      if (params.first_step && params.momentum > 0) {
        slot.velocity = detail::make_state(slot.parameter);
      }
      if (slot.velocity.defined()) detail::check_state("SGD", slot.parameter, slot.velocity);
      ExecContext ctx = context_for(slot.parameter);
      kernels::sgd_step(ctx, params, slot.parameter.view(), grad.view(),
                        slot.velocity.defined() ? slot.velocity.view() : kernels::View{});
      slot.parameter.storage().bump_version("SGD.step");
    }
  }
}

}  // namespace minidl::optim
