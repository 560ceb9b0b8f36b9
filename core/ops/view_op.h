// Ops whose outputs show elements of input 0. Not part of the public interface.
#pragma once

#include "minidl/core/op.h"

namespace minidl {

/// The spec of an output that shows input 0's elements from `offset` on.
inline TensorSpec view_spec(const TensorSpec& input, const Shape& shape, const Strides& strides,
                            std::int64_t offset) {
  TensorSpec spec = input.with_shape(shape);
  spec.strides = strides;
  spec.alias_offset = offset;
  return spec;
}

/// Zeros in the dense layout of `input`, for a gradient that is written in parts.
inline Tensor zero_gradient(const TensorSpec& input) {
  const Tensor zeros = empty_strided(input.shape, strides_like(input.shape, input.strides),
                                     {.dtype = input.dtype, .device = input.device});
  zeros.zero_();
  return zeros;
}

/// Views compute nothing; the class says so once.
class ViewOp : public Op {
 public:
  void compute(ExecContext& /*ctx*/, Views /*in*/, Views /*out*/) const override {}
};

}  // namespace minidl
