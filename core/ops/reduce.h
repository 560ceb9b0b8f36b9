// Folding dimensions away. The common reductions are methods of Tensor: sum, mean, amax, amin,
// argmax. `dims` and `dim` may count from the end; no dims means all of them. A folded dimension
// goes, or becomes 1 with `keepdim`.
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

/// The index (i64) of the first smallest element along `dim`, or without it in the flattened
/// tensor; NaN counts as the smallest. Throws Error where there is no element.
Tensor argmin(const Tensor& x, std::optional<std::int64_t> dim = {}, bool keepdim = false);

/// Whether any element, or every element, is not 0 (bool); NaN is not 0. Of none: false, and true.
Tensor any(const Tensor& x, const Dims& dims = {}, bool keepdim = false);
Tensor all(const Tensor& x, const Dims& dims = {}, bool keepdim = false);

/// The product of the elements along `dim`, or without it of all. f32 and f64 accumulate in f64;
/// integers and bool become i64. The gradient is right where there are zeros, too.
Tensor prod(const Tensor& x, std::optional<std::int64_t> dim = {}, bool keepdim = false);

/// log(sum(exp(x))), computed without overflow; -inf where there is no element, or only -inf. The
/// gradient is the softmax over the folded elements, 0 where all are -inf. Integers become f32.
Tensor logsumexp(const Tensor& x, const Dims& dims, bool keepdim = false);

}  // namespace minidl
