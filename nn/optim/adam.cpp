#include "minidl/nn/optim/adam.h"

#include "minidl/core/op.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::optim {
namespace {

template <class Options>
void check_adam_options(const char* name, const Options& options) {
  detail::check_not_negative(name, "lr", options.lr);
  detail::check_not_negative(name, "eps", options.eps);
  detail::check_not_negative(name, "weight_decay", options.weight_decay);
  detail::check_fraction(name, "beta1", options.beta1);
  detail::check_fraction(name, "beta2", options.beta2);
}

template <class Options>
void update(const char* name, const Options& options, double lr, bool decoupled,
            const Tensor& parameter, const Tensor& grad, AdamState& state) {
  if (!state.exp_avg.defined()) {
    state.exp_avg = detail::make_state(parameter);
    state.exp_avg_sq = detail::make_state(parameter);
  }
  detail::check_state(name, parameter, state.exp_avg);
  const kernels::AdamParams params{.lr = lr,
                                   .beta1 = options.beta1,
                                   .beta2 = options.beta2,
                                   .eps = options.eps,
                                   .weight_decay = options.weight_decay,
                                   .decoupled = decoupled,
                                   .step = ++state.steps};
  ExecContext ctx = context_for(parameter);
  kernels::adam_step(ctx, params, parameter.view(), grad.view(), state.exp_avg.view(),
                     state.exp_avg_sq.view());
}

}  // namespace

Adam::Adam(const ParameterList& parameters, const AdamOptions& options) {
  add_group(parameters, options);
}

void Adam::check_options(const AdamOptions& options) const {
  check_adam_options("Adam", options);
}

void Adam::step() {
  for_each_gradient(
      "Adam.step", [](const AdamOptions& options, double lr, Slot& slot, const Tensor& grad) {
        update("Adam", options, lr, /*decoupled=*/false, slot.parameter, grad, slot.state);
      });
}

AdamW::AdamW(const ParameterList& parameters, const AdamWOptions& options) {
  add_group(parameters, options);
}

void AdamW::check_options(const AdamWOptions& options) const {
  check_adam_options("AdamW", options);
}

void AdamW::step() {
  for_each_gradient(
      "AdamW.step", [](const AdamWOptions& options, double lr, Slot& slot, const Tensor& grad) {
        update("AdamW", options, lr, /*decoupled=*/true, slot.parameter, grad, slot.state);
      });
}

}  // namespace minidl::optim
