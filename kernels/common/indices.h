// What the kernels of every device say about the indices of an embedding. Not part of the public
// interface.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// Throws Error unless the indices are i64 or i32.
void check_index_dtype(const View& indices);

/// Why `index` cannot be the one at `position`, counted in row-major order of `shape`.
std::string explain_index(std::int64_t position, const Shape& shape, std::int64_t index,
                          std::int64_t rows);

}  // namespace minidl::kernels
