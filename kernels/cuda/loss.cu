// Losses of one element each: kernels/cuda/elements.cuh walks, kernels/loss_rules.h computes.
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/loss.h"
#include "minidl/kernels/loss_rules.h"

namespace minidl::kernels::cuda {

void pointwise_loss(ExecContext& ctx, LossOp op, double threshold, const View& input,
                    const View& target, const View& out) {
  visit_loss(op, threshold, out.dtype, [&](auto zero, const auto& rule) {
    using T = decltype(zero);
    using Rule = std::decay_t<decltype(rule)>;
    for_each_element(ctx, name(op), out.shape, Assign{loss_rules::Value<Rule>{rule}},
                     Writes<T>{out}, Reads<T>{input}, Reads<T>{target});
  });
}

void pointwise_loss_backward(ExecContext& ctx, LossOp op, double threshold, LossOperand operand,
                             const View& grad, const View& input, const View& target,
                             const View& out) {
  visit_loss(op, threshold, out.dtype, [&](auto zero, const auto& rule) {
    using T = decltype(zero);
    using Rule = std::decay_t<decltype(rule)>;
    const auto run = [&](const auto& slope) {
      for_each_element(ctx, name(op), out.shape, Assign{slope}, Writes<T>{out}, Reads<T>{grad},
                       Reads<T>{input}, Reads<T>{target});
    };
    if (operand == LossOperand::input) {
      run(loss_rules::Slope<Rule, false>{rule});
    } else {
      run(loss_rules::Slope<Rule, true>{rule});
    }
  });
}

}  // namespace minidl::kernels::cuda
