#include "minidl/nn/optim/sgd.h"

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {

SGD::SGD(const ParameterList& parameters, const SGDOptions& options) {
  add_group(parameters, options);
}

void SGD::check_options(const SGDOptions& options) const {
  detail::check_not_negative("SGD", "lr", options.lr);
  detail::check_not_negative("SGD", "weight_decay", options.weight_decay);
  detail::check_fraction("SGD", "momentum", options.momentum);
  detail::check_fraction("SGD", "dampening", options.dampening);
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
        "SGD: Nesterov's momentum needs momentum above 0 and no dampening");
}

void SGD::step() {
  for_each_gradient("SGD.step",
                    [](const SGDOptions& options, double lr, Slot& slot, const Tensor& grad) {
                      Tensor& velocity = slot.state.velocity;
                      const bool first_step = !velocity.defined();
                      if (first_step && options.momentum > 0)
                        velocity = detail::make_state(slot.parameter);
                      if (velocity.defined()) detail::check_state("SGD", slot.parameter, velocity);
                      const kernels::SgdParams params{.lr = lr,
                                                      .momentum = options.momentum,
                                                      .dampening = options.dampening,
                                                      .weight_decay = options.weight_decay,
                                                      .nesterov = options.nesterov,
                                                      .first_step = first_step};
                      ExecContext ctx = context_for(slot.parameter);
                      kernels::sgd_step(ctx, params, slot.parameter.view(), grad.view(),
                                        velocity.defined() ? velocity.view() : kernels::View{});
                    });
}

}  // namespace minidl::optim
