// What the kernels of every device say about indices. Not part of the public interface.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// For an embedding: throws Error unless the indices are i64 or i32.
void check_index_dtype(const View& indices);

/// For an embedding: why `index` cannot be the one at `position`, counted in row-major order of
/// `shape`.
std::string explain_index(std::int64_t position, const Shape& shape, std::int64_t index,
                          std::int64_t rows);

/// Why `index`, the one at `position` of indices of `shape`, names nothing in dimension `dim` of a
/// tensor of the shape `table`.
std::string explain_index(const char* op, std::int64_t position, const Shape& shape,
                          std::int64_t index, int dim, const Shape& table);

}  // namespace minidl::kernels
