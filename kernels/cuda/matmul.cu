// The entry of kernels/matmul.h: hands views over to gemm/, which has the kernels.

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/matmul_check.h"
#include "minidl/kernels/cuda/gemm/gemm.h"
#include "minidl/kernels/matmul.h"

namespace minidl::kernels::cuda {
namespace {

Matrices matrices(const View& view) {
  const int row = view.ndim() - 2;
  return {view.data, view.strides[row], view.strides[row + 1], row == 0 ? 0 : view.strides[0]};
}

}  // namespace

void matmul(ExecContext& ctx, const View& a, const View& b, const View& bias, const View& out) {
  check_matmul(a, b, bias, out);
  check(is_floating_point(out.dtype), "matmul: dtype must be f16, bf16, f32 or f64, got {}",
        out.dtype);
  const int row = out.ndim() - 2;
  gemm(ctx, {out.dtype, row == 0 ? 1 : out.size(0), out.size(row), out.size(row + 1),
             a.size(row + 1), matrices(a), matrices(b), bias.defined ? bias.data : nullptr,
             bias.defined ? bias.strides[0] : 0, out.data});
}

}  // namespace minidl::kernels::cuda
