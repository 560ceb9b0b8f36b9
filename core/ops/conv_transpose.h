// Transposed convolution of images.
#pragma once

#include <array>

#include "minidl/core/tensor.h"

namespace minidl {

/// {height, width}
struct ConvTranspose2dParams {
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};         ///< of the convolution: cut off on either side
  std::array<std::int64_t, 2> output_padding{0, 0};  ///< more pixels at the end; below the stride
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
};

/// The gradient of conv2d with respect to its input, as an operation (Zeiler et al. 2010;
/// "deconvolution"): x [N, C, H, W] and weight [C, K / groups, R, S], plus bias [K] unless it is
/// undefined. The result [N, K, P, Q], P = (H - 1) * stride - 2 * padding + dilation * (R - 1) +
/// output_padding + 1 and Q likewise, is NHWC in memory; so is the gradient of x, that of the
/// weight is OHWI. Floating-point dtypes.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dParams& params = {});

}  // namespace minidl
