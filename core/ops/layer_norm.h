// Layer normalisation (Ba, Kiros and Hinton 2016) and RMS normalisation (Zhang and Sennrich 2019).
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

/// Gives each row of x, its last dimensions, mean 0 and variance 1, then scales and shifts its
/// elements: (x - mean) / sqrt(variance + eps) * weight + bias, the variance being the biased one.
/// normalized_shape names the extents of those last dimensions; weight and bias have that shape and
/// x's dtype, or f32 beside 16 bits, and either may be left out. The result keeps the layout of a
/// dense x.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);

/// Divides each row of x, its last dimensions, by the root of its mean square: x / sqrt(mean(x^2) +
/// eps) * weight. Shapes and dtypes as in layer_norm; eps is x's dtype's (2^-23 or 2^-52) where it
/// is left out.
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                std::optional<double> eps = {});

}  // namespace minidl
