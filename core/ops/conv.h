// Convolution of images and of sequences.
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

struct Conv1dParams {
  std::int64_t stride = 1;
  std::int64_t padding = 0;  ///< zeros on either side
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

/// The same of sequences, as images of one row: x [N, C, L] with weight [K, C / groups, R] and bias
/// [K]. The result [N, K, P] lies in memory as [N, P, K].
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv1dParams& params = {});

}  // namespace minidl
