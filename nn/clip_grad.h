// Limits for gradients, between backward and the optimizer's step. PyTorch has them in
// torch.nn.utils.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl::nn {

/// Scales all gradients of the parameters together so that the norm of their concatenation is at
/// most max_norm (Pascanu, Mikolov and Bengio 2013), and returns the norm that they had: a scalar
/// on the first one's device, without waiting for it. norm_type is 2, another p >= 1 or infinity.
/// Parameters without a gradient do not count. A norm that is not finite throws Error with
/// error_if_nonfinite, which does wait; otherwise it leaves NaN and zeros.
Tensor clip_grad_norm_(const Tensors& parameters, double max_norm, double norm_type = 2,
                       bool error_if_nonfinite = false);

/// Limits every element of the gradients to -clip_value .. clip_value.
void clip_grad_value_(const Tensors& parameters, double clip_value);

}  // namespace minidl::nn
