// Softmax, its logarithm, and the cross entropy on top.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// y = softmax(x) along `dim`, or its logarithm; the maximum is subtracted first. f32, f64, any
/// strides. A row that is all -inf gives NaN, as everywhere.
using SoftmaxForward = void(ExecContext&, const View& x, int dim, bool log, const View& y);

/// y = softmax of those x along `dim` whose mask is true, 0 elsewhere; a line without any true is
/// all 0. What x is where the mask is false does not matter. mask: bool, of x's shape (stretched
/// where a stride is 0).
using MaskedSoftmaxForward = void(ExecContext&, const View& x, const View& mask, int dim,
                                  const View& y);

/// dx from dy and the output y of the forward call with the same `dim` and `log`. Serves the masked
/// softmax, too (log = false): where y is 0, dx is.
using SoftmaxBackward = void(ExecContext&, const View& dy, const View& y, int dim, bool log,
                             const View& dx);

/// What each row of a cross entropy is compared with.
struct CrossEntropyParams {
  double label_smoothing = 0;        ///< share of the target spread evenly over all classes, 0..1
  std::int64_t ignore_index = -100;  ///< rows with this target count for nothing
};

// Shapes: log_probs [N, C] (from SoftmaxForward with log), target [N] i64, loss a scalar, dlogits
// [N, C]. f32 and f64.

/// loss = mean over the rows that are not ignored of
///        -(1 - s) * log_probs[target] - s / C * sum(log_probs); NaN where there is no such row.
/// Throws Error naming row, label and C where a target is outside 0..C-1 and is not ignore_index.
using CrossEntropyForward = void(ExecContext&, const CrossEntropyParams& params,
                                 const View& log_probs, const View& target, const View& loss);

/// dlogits = dloss * d loss / d logits (through the log-softmax), zeros in ignored rows.
using CrossEntropyBackward = void(ExecContext&, const CrossEntropyParams& params, const View& dloss,
                                  const View& log_probs, const View& target, const View& dlogits);

namespace cpu {
SoftmaxForward softmax_forward;
MaskedSoftmaxForward masked_softmax_forward;
SoftmaxBackward softmax_backward;
CrossEntropyForward cross_entropy_forward;
CrossEntropyBackward cross_entropy_backward;
}  // namespace cpu

namespace cuda {
SoftmaxForward softmax_forward;
MaskedSoftmaxForward masked_softmax_forward;
SoftmaxBackward softmax_backward;
CrossEntropyForward cross_entropy_forward;
CrossEntropyBackward cross_entropy_backward;
}  // namespace cuda

inline constexpr Entry<SoftmaxForward> softmax_forward{cpu::softmax_forward, cuda::softmax_forward,
                                                       writes_last(1)};
inline constexpr Entry<MaskedSoftmaxForward> masked_softmax_forward{
    cpu::masked_softmax_forward, cuda::masked_softmax_forward, writes_last(1)};
inline constexpr Entry<SoftmaxBackward> softmax_backward{cpu::softmax_backward,
                                                         cuda::softmax_backward, writes_last(1)};
inline constexpr Entry<CrossEntropyForward> cross_entropy_forward{
    cpu::cross_entropy_forward, cuda::cross_entropy_forward, writes_last(1)};
inline constexpr Entry<CrossEntropyBackward> cross_entropy_backward{
    cpu::cross_entropy_backward, cuda::cross_entropy_backward, writes_last(1)};

}  // namespace minidl::kernels
