// Rows of a table, looked up by index.
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

/// weight[indices]: indices [...] (i64 or i32), weight [V, D] (floating-point) -> [..., D]. Row
/// padding_idx, which may count from the end, gets no gradient. Throws Error naming position and
/// index if an index is not in 0..V-1.
///
/// The gradient of weight is dense, and each row's a sum in the order of the positions.
Tensor embedding(const Tensor& indices, const Tensor& weight,
                 std::optional<std::int64_t> padding_idx = {});

}  // namespace minidl
