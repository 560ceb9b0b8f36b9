#include "minidl/kernels/common/indices.h"

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void check_index_dtype(const View& indices) {
  check(indices.dtype == i64 || indices.dtype == i32,
        "embedding: indices must be i64 or i32, not {}", indices.dtype);
}

std::string explain_index(std::int64_t position, const Shape& shape, std::int64_t index,
                          std::int64_t rows) {
  Dims at = shape;
  for (int dim = shape.size() - 1; dim >= 0; --dim) {
    at[dim] = position % shape[dim];
    position /= shape[dim];
  }
  return fmt::format(
      "embedding: the index at {} is {}, but the weight has {} rows: indices are 0..{}", at, index,
      rows, rows - 1);
}

}  // namespace minidl::kernels
