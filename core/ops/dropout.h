// Dropout (Srivastava et al. 2014), in its inverted form.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// Zeros each element with probability p and scales the others by 1 / (1 - p); x itself when not
/// `training`. Draws one stream of the default generator, none for a fake x. No mask is kept:
/// backward draws it again.
Tensor dropout(const Tensor& x, double p, bool training = true);

}  // namespace minidl
