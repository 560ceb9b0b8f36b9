// Sorting, and what follows from an order. Any dtype; NaN is larger than everything else, as in
// PyTorch. Gradients flow to the elements that were picked.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// Elements of x, and where along the dimension they stood (i64): of one shape.
struct ValuesAndIndices {
  Tensor values;
  Tensor indices;
};

/// x sorted along `dim`. Stable: equal elements stay in their order, descending too. In x's layout,
/// if x is dense.
ValuesAndIndices sort(const Tensor& x, std::int64_t dim = -1, bool descending = false);
/// The indices alone.
Tensor argsort(const Tensor& x, std::int64_t dim = -1, bool descending = false);

/// The k largest (or smallest) elements along `dim`, the most extreme one first; of equal elements
/// the first ones are taken. Without `sorted` they come in any order, which is faster for a large
/// k.
ValuesAndIndices topk(const Tensor& x, std::int64_t k, std::int64_t dim = -1, bool largest = true,
                      bool sorted = true);

/// The k-th smallest element along `dim`, k counting from 1; of equal elements, as in a stable
/// sort. The dimension goes, or becomes 1 with `keepdim`.
ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, std::int64_t dim = -1,
                          bool keepdim = false);

/// The different elements of x.
struct Unique {
  Tensor values;   ///< [U], ascending; every NaN is one of its own
  Tensor inverse;  ///< of x's shape, i64: values[inverse] is x
  Tensor counts;   ///< [U], i64: how many elements of x have each value
};
/// Waits for the device, since U depends on the elements. Not differentiable.
Unique unique(const Tensor& x);

}  // namespace minidl
