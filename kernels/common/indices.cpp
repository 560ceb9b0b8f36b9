#include "minidl/kernels/common/indices.h"

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void check_index_dtype(const View& indices) {
  check(indices.dtype == i64 || indices.dtype == i32,
        "embedding: indices must be i64 or i32, not {}", indices.dtype);
}

namespace {

Dims coordinates(std::int64_t position, const Shape& shape) {
  Dims at = shape;
  for (int dim = shape.size() - 1; dim >= 0; --dim) {
    at[dim] = position % shape[dim];
    position /= shape[dim];
  }
  return at;
}

}  // namespace

std::string explain_index(std::int64_t position, const Shape& shape, std::int64_t index,
                          std::int64_t rows) {
  return fmt::format(
      "embedding: the index at {} is {}, but the weight has {} rows: indices are 0..{}",
      coordinates(position, shape), index, rows, rows - 1);
}

std::string explain_index(const char* op, std::int64_t position, const Shape& shape,
                          std::int64_t index, int dim, const Shape& table) {
  const std::string why = fmt::format("{}: the index at {} is {}, but dimension {} of shape {}", op,
                                      coordinates(position, shape), index, dim, table);
  return table[dim] == 0 ? why + " is empty" : fmt::format("{} takes 0..{}", why, table[dim] - 1);
}

}  // namespace minidl::kernels
