// mma.sync: d += a b by a full warp. A is 16 x K by rows, B K x 8 by columns, d 16 x 8. With g =
// lane / 4, t = lane % 4 and P elements to a 32-bit register (P = 2 for 16-bit types, 1 for tf32, 4
// for s8), which are neighbours along k:
//   a[i]: row g + 8 (i % 2), k from P t + 4 P (i / 2)
//   b[i]: column g,          k from P t + 4 P i
//   d[i]: row g + 8 (i / 2), column 2 t + i % 2
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// The last parameter only says the type: mma_m16n8k16(d, a, b, T{}). Compute capability 8.0.
MINIDL_DEVICE void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], __half) {
  MINIDL_PTX_80(emu::mma_m16n8(emu::Type::kF16, 16, d, a, b),
                "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
                "%7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// bf16, compute capability 8.0.
MINIDL_DEVICE void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], __nv_bfloat16) {
  MINIDL_PTX_80(emu::mma_m16n8(emu::Type::kBf16, 16, d, a, b),
                "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, "
                "%6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// f16, compute capability 7.5.
MINIDL_DEVICE void mma_m16n8k8(float (&d)[4], const std::uint32_t (&a)[2],
                               const std::uint32_t (&b)[1], __half) {
  MINIDL_PTX_75(emu::mma_m16n8(emu::Type::kF16, 8, d, a, b),
                "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, "
                "{%6}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}

/// tf32, compute capability 8.0.
MINIDL_DEVICE void mma_m16n8k8(float (&d)[4], const std::uint32_t (&a)[4],
                               const std::uint32_t (&b)[2], Tf32) {
  MINIDL_PTX_80(emu::mma_m16n8(emu::Type::kTf32, 8, d, a, b),
                "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
                "%7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// s8, compute capability 8.0.
MINIDL_DEVICE void mma_m16n8k32(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], std::int8_t) {
  MINIDL_PTX_80(emu::mma_m16n8k32_s8(d, a, b),
                "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, "
                "%7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace minidl::kernels::cuda::ptx
