// Convolution of images.
#pragma once

#include "minidl/core/tensor.h"
#include "minidl/kernels/conv.h"

namespace minidl {

/// stride, padding and dilation as {height, width}, and the number of groups.
using Conv2dParams = kernels::Conv2dParams;

/// Cross-correlation of x [N, C, H, W] with weight [K, C / groups, R, S], plus bias [K] unless it
/// is undefined. The result [N, K, P, Q], P = (H + 2 * padding - dilation * (R - 1) - 1) / stride +
/// 1 and Q likewise, is NHWC in memory; so is the gradient of x, that of the weight is OHWI. f32
/// and f64.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dParams& params = {});

}  // namespace minidl
