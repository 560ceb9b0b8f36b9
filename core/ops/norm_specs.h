// What the normalisations say alike of their operands. Not part of the public interface.
#pragma once

#include "minidl/core/op.h"

namespace minidl {

/// Whether a parameter or statistic of this dtype goes with an input `x`: its own, or f32 beside
/// 16-bit inputs, as in mixed precision.
inline bool goes_with(DType x, DType parameter) {
  return parameter == x || parameter == accumulation_dtype(x);
}

/// A statistic that is kept for backward.
inline TensorSpec statistic_spec(const TensorSpec& x, const Shape& shape) {
  TensorSpec spec = x.with_shape(shape);
  spec.dtype = accumulation_dtype(x.dtype);
  spec.differentiable = false;
  return spec;
}

}  // namespace minidl
