// Matrix products.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// out[b, m, n] = sum over k of a[b, m, k] * b[b, k, n], plus bias[n] where one is given. All of
/// one dtype: f32, f64, f16 or bf16, which are summed in f32 and rounded once. (The CPU computes
/// f16 through f32 copies, and bf16, too, where the processor has no instructions for it.) Ranks
/// are equal, 2 or 3; a and b may be transposed, sliced or stretched along the batch (stride 0);
/// out is contiguous. An empty k gives the bias, or zeros.
using Matmul = void(ExecContext&, const View& a, const View& b, const View& bias, const View& out);

namespace cpu {
Matmul matmul;
}  // namespace cpu

namespace cuda {
Matmul matmul;
}  // namespace cuda

inline constexpr Entry<Matmul> matmul{cpu::matmul, cuda::matmul};

}  // namespace minidl::kernels
