#include "minidl/kernels/matmul.h"

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/matmul_check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/gemm.h"
#include "minidl/kernels/cpu/onednn.h"

namespace minidl::kernels::cpu {
namespace {

/// out = bias in every row, or zeros.
void set_to_bias(ExecContext& ctx, const View& bias, const View& out) {
  if (!bias.defined) return kernels::fill(ctx, out, 0.0);
  View stretched = bias;
  stretched.shape = out.shape;
  stretched.strides = broadcast_strides(bias.shape, bias.strides, out.shape);
  kernels::copy(ctx, stretched, out);
}

/// A contiguous copy of `view` that lives in `memory`.
View make_contiguous(ExecContext& ctx, const View& view, Buffer& memory) {
  memory = ctx.workspace(static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  View copy = view;
  copy.data = memory.data();
  copy.strides = contiguous_strides(view.shape);
  kernels::copy(ctx, view, copy);
  return copy;
}

bool is_stretched(const View& view) {
  return view.ndim() == 3 && view.strides[0] == 0;
}

/// `view`, or a copy with strides that oneDNN takes. A stretched batch stays stretched.
View for_onednn(ExecContext& ctx, const View& view, Buffer& memory) {
  if (onednn::takes_matmul_operand(view)) return view;
  if (!is_stretched(view)) return make_contiguous(ctx, view, memory);
  View one = view;
  one.shape[0] = 1;
  View copy = make_contiguous(ctx, one, memory);
  copy.shape[0] = view.size(0);
  copy.strides[0] = 0;
  return copy;
}

void matmul_onednn(ExecContext& ctx, const View& a, const View& b, const View& bias,
                   const View& out) {
  Buffer memory_a;
  Buffer memory_b;
  Buffer memory_bias;
  const bool both_stretched = is_stretched(a) && is_stretched(b);
  const bool bias_dense = !bias.defined || bias.is_contiguous();
  onednn::matmul(ctx, for_onednn(ctx, a, memory_a),
                 both_stretched ? make_contiguous(ctx, b, memory_b) : for_onednn(ctx, b, memory_b),
                 bias_dense ? bias : make_contiguous(ctx, bias, memory_bias), out);
}

void matmul_f64(ExecContext& ctx, const View& a, const View& b, const View& bias, const View& out) {
  if (bias.defined) set_to_bias(ctx, bias, out);
  const int row = out.ndim() - 2;
  const int col = out.ndim() - 1;
  const bool batched = out.ndim() == 3;
  const std::int64_t m = out.size(row);
  const std::int64_t n = out.size(col);
  for (std::int64_t i = 0; i < (batched ? out.size(0) : 1); ++i) {
    const auto matrix = [&](const View& view) {
      const std::int64_t offset = batched ? i * view.strides[0] : 0;
      return Matrix{view.ptr<double>() + offset, view.strides[row], view.strides[col]};
    };
    gemm(ctx, m, n, a.size(col), matrix(a), matrix(b), out.ptr<double>() + i * m * n, n,
         bias.defined);
  }
}

}  // namespace

void matmul(ExecContext& ctx, const View& a, const View& b, const View& bias, const View& out) {
  check_matmul(a, b, bias, out);
  if (out.numel() == 0) return;
  if (a.shape.back() == 0) return set_to_bias(ctx, bias, out);
  switch (out.dtype) {
    case f64: return matmul_f64(ctx, a, b, bias, out);
    case f32:
    case f16:
    case bf16:
      if (onednn::computes(out.dtype)) return matmul_onednn(ctx, a, b, bias, out);
      return call_widened(matmul, writes_last(1), ctx, a, b, bias, out);
    default: fail("matmul: dtype must be a floating-point one, got {}", out.dtype);
  }
}

}  // namespace minidl::kernels::cpu
