// Layer normalisation (Ba, Kiros and Hinton 2016).
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// Gives each row of x, its last dimensions, mean 0 and variance 1, then scales and shifts its
/// elements: (x - mean) / sqrt(variance + eps) * weight + bias, the variance being the biased one.
/// normalized_shape names the extents of those last dimensions; weight and bias have that shape and
/// x's dtype (f32, f64), and either may be left out. The result keeps the layout of a dense x.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);

}  // namespace minidl
