// Not part of the public interface: the gradient of whatever picks elements by index.
#pragma once

#include "minidl/core/op.h"

namespace minidl {

/// Zeros of x's geometry, with each element of `grad` added to the element that `index` (i64, of
/// grad's shape) names in dimension `dim`. For use in backward: it is not recorded.
Tensor picked_gradient(const TensorSpec& x, int dim, const Tensor& index, const Tensor& grad);

}  // namespace minidl
