// Layer normalisation (Ba, Kiros and Hinton 2016) and RMS normalisation (Zhang and Sennrich 2019).
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// Shapes: x, y, dx, dy [..., D]; mean and rstd [...]; weight, bias, dweight and dbias [D], where
// ... and D stand for any number of dimensions. All of one dtype, f32 or f64, with any strides; a
// row-major x is fastest. weight and bias are optional, each for itself.

/// y = (x - mean) * rstd * weight + bias. mean and rstd = 1 / sqrt(variance + eps) are those of
/// each row of D, taken in f64; the variance is divided by the count (biased).
using LayerNormForward = void(ExecContext&, const View& x, const View& weight, const View& bias,
                              double eps, const View& y, const View& mean, const View& rstd);

/// With xhat = (x - mean) * rstd and g = dy * weight, the means being those of a row:
///   dx = rstd * (g - mean(g) - xhat * mean(g * xhat))
///   dweight = sum of dy * xhat over the rows, dbias = sum of dy
/// Sums are taken in f64, in an order that only the shape decides. dx, dweight and dbias may be
/// undefined where they are not wanted.
using LayerNormBackward = void(ExecContext&, const View& dy, const View& x, const View& mean,
                               const View& rstd, const View& weight, const View& dx,
                               const View& dweight, const View& dbias);

/// The same without the mean: y = x * rstd * weight with rstd = 1 / sqrt(mean of x^2 + eps), and
///   dx = rstd * (g - xhat * mean(g * xhat)), dweight = sum of dy * xhat, where xhat = x * rstd
using RmsNormForward = void(ExecContext&, const View& x, const View& weight, double eps,
                            const View& y, const View& rstd);
using RmsNormBackward = void(ExecContext&, const View& dy, const View& x, const View& rstd,
                             const View& weight, const View& dx, const View& dweight);

namespace cpu {
LayerNormForward layer_norm_forward;
LayerNormBackward layer_norm_backward;
RmsNormForward rms_norm_forward;
RmsNormBackward rms_norm_backward;
}  // namespace cpu

namespace cuda {
LayerNormForward layer_norm_forward;
LayerNormBackward layer_norm_backward;
RmsNormForward rms_norm_forward;
RmsNormBackward rms_norm_backward;
}  // namespace cuda

inline constexpr Entry<LayerNormForward> layer_norm_forward{
    cpu::layer_norm_forward, cuda::layer_norm_forward, writes_last(3)};
inline constexpr Entry<LayerNormBackward> layer_norm_backward{
    cpu::layer_norm_backward, cuda::layer_norm_backward, writes_last(3)};
inline constexpr Entry<RmsNormForward> rms_norm_forward{cpu::rms_norm_forward,
                                                        cuda::rms_norm_forward, writes_last(2)};
inline constexpr Entry<RmsNormBackward> rms_norm_backward{cpu::rms_norm_backward,
                                                          cuda::rms_norm_backward, writes_last(2)};

}  // namespace minidl::kernels
