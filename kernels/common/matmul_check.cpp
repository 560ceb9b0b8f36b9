#include "minidl/kernels/common/matmul_check.h"

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void check_matmul(const View& a, const View& b, const View& bias, const View& out) {
  const int ndim = out.ndim();
  check((ndim == 2 || ndim == 3) && a.ndim() == ndim && b.ndim() == ndim,
        "matmul: operands must be all 2-D or all 3-D, got {}, {} and the result {}", a.shape,
        b.shape, out.shape);
  check(a.dtype == out.dtype && b.dtype == out.dtype && (!bias.defined || bias.dtype == out.dtype),
        "matmul: operands must be of one dtype, got {}, {} and the result {}", a.dtype, b.dtype,
        out.dtype);
  const bool batches = ndim == 2 || (a.size(0) == out.size(0) && b.size(0) == out.size(0));
  check(batches && a.size(ndim - 2) == out.size(ndim - 2) && a.size(ndim - 1) == b.size(ndim - 2) &&
            b.size(ndim - 1) == out.size(ndim - 1),
        "matmul: shapes {} and {} do not give {}", a.shape, b.shape, out.shape);
  check(!bias.defined || bias.shape == Shape{out.shape.back()},
        "matmul: the bias must have shape [{}], got {}", out.shape.back(), bias.shape);
  check(out.is_contiguous(), "matmul: the result must be contiguous, got strides {}", out.strides);
}

}  // namespace minidl::kernels
