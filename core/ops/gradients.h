// What backward functions that hand a kernel all gradients at once share.
// Not part of the public interface.
#pragma once

#include "minidl/core/op.h"

namespace minidl {

/// Where the gradients of the inputs go: uninitialised, in the inputs' layouts, undefined where
/// none is wanted.
inline Tensors empty_gradients(const BackwardContext& ctx) {
  Tensors gradients(static_cast<std::size_t>(ctx.inputs()));
  for (int i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.needs_grad(i)) continue;
    const TensorSpec& spec = ctx.input_spec(i);
    gradients[static_cast<std::size_t>(i)] =
        empty_strided(spec.shape, strides_like(spec.shape, spec.strides),
                      {.dtype = spec.dtype, .device = spec.device});
  }
  return gradients;
}

inline kernels::View view_or_none(const Tensor& tensor) {
  return tensor.defined() ? tensor.view() : kernels::View{};
}

}  // namespace minidl
