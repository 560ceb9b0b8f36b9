// The only door to oneDNN: matrix products and convolutions of f32 and bf16. Everything here may be
// called from several threads at once.
#pragma once

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"
#include "minidl/kernels/conv.h"
#include "minidl/kernels/cpu/gemm.h"

namespace minidl::kernels::cpu::onednn {

/// Whether oneDNN takes operands of this dtype at the speed of the hardware: f32 always, bf16 where
/// the processor multiplies it. (Elsewhere oneDNN emulates bf16, slower than f32.)
bool computes(DType dtype);

/// Whether `matmul` takes an operand with these strides: rows or columns are dense, and no two
/// elements share memory (except along a batch that is stretched with stride 0).
bool takes_matmul_operand(const View& operand);

/// As kernels::matmul, for operands of a dtype that it computes, which pass `takes_matmul_operand`,
/// a dense bias, no empty dimension, and at most one of a and b stretched along the batch.
void matmul(ExecContext& ctx, const View& a, const View& b, const View& bias, const View& out);

/// c[m, n] = scale * a[m, k] * b[k, n] (+ c where `accumulate`), on the calling thread alone: for
/// the small products inside a kernel. Rows or columns of a and b are dense, rows of c are; no
/// extent is 0.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, float scale, const MatrixOf<float>& a,
          const MatrixOf<float>& b, float* c, std::int64_t c_row_stride, bool accumulate);

// As kernels::conv2d_*, for operands of a dtype that it computes, dense in NHWC order (weights:
// OHWI), a dense bias and no empty dimension.

void conv2d_forward(ExecContext& ctx, const Conv2dParams& params, const View& x, const View& weight,
                    const View& bias, const View& y);
void conv2d_backward_input(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                           const View& weight, const View& dx);
void conv2d_backward_weight(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                            const View& x, const View& dweight);

}  // namespace minidl::kernels::cpu::onednn
