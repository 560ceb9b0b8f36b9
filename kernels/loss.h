// Losses of one element each, and the negative log likelihood of labels. Softmax's cross entropy is
// in kernels/softmax.h.
#pragma once

#include "minidl/kernels/common/entry.h"
#include "minidl/kernels/softmax.h"

namespace minidl::kernels {

/// With x from the input, y from the target, d = x - y and a threshold t:
enum class LossOp {
  mse,                   ///< d^2
  l1,                    ///< |d|; gradient 0 at 0
  smooth_l1,             ///< d^2 / (2 t) where |d| < t, else |d| - t / 2 (Girshick 2015); t >= 0
  huber,                 ///< d^2 / 2 where |d| <= t, else t (|d| - t / 2) (Huber 1964); t > 0
  binary_cross_entropy,  ///< -(y log x + (1 - y) log(1 - x)), logarithms below -100 being -100
  binary_cross_entropy_with_logits,  ///< the same of sigmoid(x), for any x
  kl_div,                            ///< y (log y - x), 0 where y is 0
  kl_div_log_target,                 ///< exp(y) (y - x)
};

/// "mse_loss", …
const char* name(LossOp op);

enum class LossOperand { input, target };

// All operands have out's shape (stretched where a stride is 0) and one dtype, f32 or f64.

/// out = the loss of every element.
using PointwiseLoss = void(ExecContext&, LossOp op, double threshold, const View& input,
                           const View& target, const View& out);

/// out = grad * d loss / d `operand`. What divides by x (1 - x) divides by 1e-12 at least.
using PointwiseLossBackward = void(ExecContext&, LossOp op, double threshold, LossOperand operand,
                                   const View& grad, const View& input, const View& target,
                                   const View& out);

// Shapes: log_probs and dlog_probs [N, C, ...], target (i64), losses, shares and dlosses [N, ...],
// weight [C]; weight is optional and stands for ones. f32 and f64, any strides.

/// losses = -(1 - s) * weight[target] * log_probs[target]
///          - s / C * sum of weight * log_probs over the classes,
/// shares = weight[target]; both 0 where the target is ignored. s is the label smoothing. Throws
/// Error naming `op`, position, label and C where a target is outside 0..C-1 and is not
/// ignore_index.
using NllLossForward = void(ExecContext&, const char* op, const CrossEntropyParams& params,
                            const View& log_probs, const View& target, const View& weight,
                            const View& losses, const View& shares);

/// dlog_probs = dlosses * d losses / d log_probs, for the targets that forward accepted.
using NllLossBackward = void(ExecContext&, const CrossEntropyParams& params, const View& dlosses,
                             const View& target, const View& weight, const View& dlog_probs);

namespace cpu {
PointwiseLoss pointwise_loss;
PointwiseLossBackward pointwise_loss_backward;
NllLossForward nll_loss_forward;
NllLossBackward nll_loss_backward;
}  // namespace cpu

namespace cuda {
PointwiseLoss pointwise_loss;
PointwiseLossBackward pointwise_loss_backward;
}  // namespace cuda

inline constexpr Entry<PointwiseLoss> pointwise_loss{cpu::pointwise_loss, cuda::pointwise_loss,
                                                     writes_last(1)};
inline constexpr Entry<PointwiseLossBackward> pointwise_loss_backward{
    cpu::pointwise_loss_backward, cuda::pointwise_loss_backward, writes_last(1)};
inline constexpr Entry<NllLossForward> nll_loss_forward{cpu::nll_loss_forward,
                                                        only_on_cpu("nll_loss"), writes_last(2)};
inline constexpr Entry<NllLossBackward> nll_loss_backward{cpu::nll_loss_backward,
                                                          only_on_cpu("nll_loss"), writes_last(1)};

}  // namespace minidl::kernels
