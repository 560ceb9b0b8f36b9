// Batch normalisation (Ioffe and Szegedy 2015), in the four steps between which ranks can exchange
// their partial sums.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// Shapes: x, y, dx, dy [N, C, ...] with any strides (one layout for all is fastest: NHWC),
// everything else [C]. f32 and f64, all of one dtype. weight and bias are either both given or both
// undefined. Sums over N and the pixels run in a fixed order, whatever the number of threads.

/// mean and variance (biased: divided by the count) of each channel. Zeros for an empty x.
using BatchNormStats = void(ExecContext&, const View& x, const View& mean, const View& variance);

/// y = (x - mean) * inv_std * weight + bias.
using BatchNormApply = void(ExecContext&, const View& x, const View& mean, const View& inv_std,
                            const View& weight, const View& bias, const View& y);

/// sum_dy = sum of dy; sum_dy_xhat = sum of dy * (x - mean) * inv_std: the gradients of bias and
/// weight, and what the gradient of x is made of.
using BatchNormBackwardReduce = void(ExecContext&, const View& dy, const View& x, const View& mean,
                                     const View& inv_std, const View& sum_dy,
                                     const View& sum_dy_xhat);

/// dx = weight * inv_std * (dy - sum_dy / count - xhat * sum_dy_xhat / count); count is the number
/// of values that went into each channel's statistics, on all ranks together.
using BatchNormBackwardApply = void(ExecContext&, const View& dy, const View& x, const View& mean,
                                    const View& inv_std, const View& weight, const View& sum_dy,
                                    const View& sum_dy_xhat, double count, const View& dx);

namespace cpu {
BatchNormStats batch_norm_stats;
BatchNormApply batch_norm_apply;
BatchNormBackwardReduce batch_norm_backward_reduce;
BatchNormBackwardApply batch_norm_backward_apply;
}  // namespace cpu

namespace cuda {
BatchNormStats batch_norm_stats;
BatchNormApply batch_norm_apply;
BatchNormBackwardReduce batch_norm_backward_reduce;
BatchNormBackwardApply batch_norm_backward_apply;
}  // namespace cuda

inline constexpr Entry<BatchNormStats> batch_norm_stats{cpu::batch_norm_stats,
                                                        cuda::batch_norm_stats, writes_last(2)};
inline constexpr Entry<BatchNormApply> batch_norm_apply{cpu::batch_norm_apply,
                                                        cuda::batch_norm_apply, writes_last(1)};
inline constexpr Entry<BatchNormBackwardReduce> batch_norm_backward_reduce{
    cpu::batch_norm_backward_reduce, cuda::batch_norm_backward_reduce, writes_last(2)};
inline constexpr Entry<BatchNormBackwardApply> batch_norm_backward_apply{
    cpu::batch_norm_backward_apply, cuda::batch_norm_backward_apply, writes_last(1)};

}  // namespace minidl::kernels
