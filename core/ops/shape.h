// Other views of the same elements, and joining tensors. The common ones are methods of Tensor:
// reshape, flatten, permute, transpose, expand, squeeze, unsqueeze, slice, select.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// Joins tensors along `dim`: equal rank and equal extents elsewhere, else Error. Dtypes are
/// promoted to a common one. The layout is that of the first dense tensor with elements (longer
/// than 1 along `dim`, if there is one). At least one tensor is needed.
Tensor cat(const Tensors& tensors, std::int64_t dim = 0);

}  // namespace minidl
