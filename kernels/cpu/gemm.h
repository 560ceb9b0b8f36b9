// Our own f64 matrix product, for what oneDNN does not do.
#pragma once

#include <cstdint>

#include "minidl/kernels/common/exec_context.h"

namespace minidl::kernels::cpu {

/// A matrix in memory, with any strides.
template <class T>
struct MatrixOf {
  const T* data;
  std::int64_t row_stride;
  std::int64_t col_stride;
};
using Matrix = MatrixOf<double>;

/// c[m, n] = a[m, k] * b[k, n] (+ c where `accumulate`). Rows of c are dense and `c_row_stride`
/// apart. Every element is summed in the same order, whatever the number of threads.
void gemm(ExecContext& ctx, std::int64_t m, std::int64_t n, std::int64_t k, const Matrix& a,
          const Matrix& b, double* c, std::int64_t c_row_stride, bool accumulate);

}  // namespace minidl::kernels::cpu
