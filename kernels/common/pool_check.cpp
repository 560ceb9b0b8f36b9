#include "minidl/kernels/common/pool_check.h"

#include <limits>

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void check_pool_shapes(const char* op, const View& x, const View& y) {
  check(x.ndim() == 4 && y.ndim() == 4 && x.size(0) == y.size(0) && x.size(1) == y.size(1),
        "{}: images must be 4-D with equal batch and channels, got {} and {}", op, x.shape,
        y.shape);
  check(x.dtype == y.dtype, "{}: operands must be of one dtype, got {} and {}", op, x.dtype,
        y.dtype);
}

void check_pool_indices(const char* op, const View& x, const View& y, const View& indices) {
  check(indices.dtype == i32 && indices.shape == y.shape,
        "{}: the indices must be i32 of shape {}, got {} of {}", op, y.shape, indices.dtype,
        indices.shape);
  check(x.size(2) * x.size(3) <= std::numeric_limits<std::int32_t>::max(),
        "{}: images of {} have too many pixels for 32-bit indices", op, x.shape);
}

void check_pool_window(const char* op, std::int64_t o, std::int64_t in, std::int64_t begin,
                       std::int64_t end) {
  check(begin < end, "{}: the window of output {} lies outside of the {} inputs: use less padding",
        op, o, in);
}

}  // namespace minidl::kernels
