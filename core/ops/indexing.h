// Elements named by indices along one dimension. Indices are i64 or i32 and never negative; one
// that is out of range throws Error naming the operation, the index, where it stands, and the
// dimension. `dim` may count from the end; a scalar counts as a tensor of one element.
//
// Everything is deterministic, also where indices repeat: of several elements assigned to one place
// the last one stays, and sums run in the order of the indices.
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

/// out[..., i, ...] = x[..., index[..., i, ...], ...], the two positions being those of `dim`: the
/// shape is index's, which has x's rank and is no longer than x in the other dimensions.
Tensor gather(const Tensor& x, std::int64_t dim, const Tensor& index);

/// gather where the dimensions other than `dim` broadcast. Without `dim`, both operands are
/// flattened first.
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<std::int64_t> dim = {});

/// x with x[..., index[..., i, ...], ...] = src[..., i, ...]: index has the rank of both and is no
/// longer than src, nor, in dimensions other than `dim`, than x. src must be of x's dtype. Elements
/// of src that do not stay, and those of x that are overwritten, get no gradient.
Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src);
/// The same with one value for all places, in x's dtype.
Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, double value);
/// x with x[..., index[..., i, ...], ...] += src[..., i, ...]; shapes as in scatter. Not for bool.
Tensor scatter_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src);

/// The slices of x along `dim` that a 1-D index names, one after the other.
Tensor index_select(const Tensor& x, std::int64_t dim, const Tensor& index);

/// x with alpha times the i-th slice of source along `dim` added to its slice index[i]; source has
/// x's dtype, and x's shape but for `dim`, where it is as long as the 1-D index. Not for bool.
Tensor index_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& source,
                 double alpha = 1);

/// labels [...] (i64 or i32) -> [..., C] (i64): 1 at the label, else 0. num_classes = -1 takes the
/// largest label + 1, and reads the labels to find it.
Tensor one_hot(const Tensor& labels, std::int64_t num_classes = -1);

}  // namespace minidl
