// Group normalisation (Wu and He 2018) and instance normalisation (Ulyanov, Vedaldi and Lempitsky
// 2016).
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// Gives each group of C / groups channels of each sample mean 0 and variance 1, then scales and
/// shifts the channels: (x - mean) / sqrt(variance + eps) * weight + bias, the variance being the
/// biased one. x [N, C, ...]; weight and bias [C], of x's dtype, or f32, and either may be left
/// out. The result keeps the layout of a dense x.
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);

/// group_norm with a group per channel. (PyTorch's running statistics are not offered.)
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                     double eps = 1e-5);

}  // namespace minidl
