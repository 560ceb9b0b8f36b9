// Group normalisation (Wu and He 2018); with a group per channel, instance normalisation (Ulyanov,
// Vedaldi and Lempitsky 2016).
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// Shapes: x, y, dx, dy [N, C, ...]; mean and rstd [N, G], where G divides C; weight, bias, dweight
// and dbias [C]. All of one dtype, f32 or f64, with any strides; row-major and NHWC are fastest.
// weight and bias are optional, each for itself.

/// y = (x - mean) * rstd * weight + bias. mean and rstd = 1 / sqrt(variance + eps) are those of
/// each sample's groups of C / G channels, taken in f64; the variance is divided by the count.
using GroupNormForward = void(ExecContext&, const View& x, const View& weight, const View& bias,
                              double eps, const View& y, const View& mean, const View& rstd);

/// With xhat = (x - mean) * rstd and g = dy * weight, the means being those of a group:
///   dx = rstd * (g - mean(g) - xhat * mean(g * xhat))
///   dweight = sum of dy * xhat over samples and pixels, dbias = sum of dy
/// Sums are taken in f64, in an order that only the shape and the layout decide. dx, dweight and
/// dbias may be undefined where they are not wanted.
using GroupNormBackward = void(ExecContext&, const View& dy, const View& x, const View& mean,
                               const View& rstd, const View& weight, const View& dx,
                               const View& dweight, const View& dbias);

namespace cpu {
GroupNormForward group_norm_forward;
GroupNormBackward group_norm_backward;
}  // namespace cpu

inline constexpr Entry<GroupNormForward> group_norm_forward{
    cpu::group_norm_forward, only_on_cpu("group_norm"), writes_last(3)};
inline constexpr Entry<GroupNormBackward> group_norm_backward{
    cpu::group_norm_backward, only_on_cpu("group_norm"), writes_last(3)};

}  // namespace minidl::kernels
