// wgmma, compute capability 9.0a: 128 threads multiply a 64 x K tile A with a K x N tile B from
// shared memory; K is 32 bytes. Asynchronous: fence, products, commit, wait, as the functions below
// say.
//
// With w = thread / 32, g = thread % 32 / 4 and t = thread % 4, accumulator d[i] is
//   row 16 w + g + 8 (i / 2 % 2), column 8 (i / 4) + 2 t + i % 2
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <type_traits>

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// Before the first product, and whenever threads have touched the accumulators (or A) since.
MINIDL_DEVICE void wgmma_fence() {
  MINIDL_PTX_90A(emu::wgmma_fence(), "wgmma.fence.sync.aligned;" ::: "memory");
}

/// Makes a group of the products since the last commit.
MINIDL_DEVICE void wgmma_commit() {
  MINIDL_PTX_90A(emu::wgmma_commit(), "wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most the N latest groups are under way. The shared memory of the others may be
/// touched then.
template <int N>
MINIDL_DEVICE void wgmma_wait() {
  MINIDL_PTX_90A(emu::wgmma_wait(N), "wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/// Waits for all groups, whose accumulators may be touched then. They are named because products
/// fill them asynchronously, of which the compiler knows nothing: it could read them earlier.
template <class Sum, int R>
MINIDL_DEVICE void wgmma_wait_all([[maybe_unused]] Sum (&d)[R]) {
  wgmma_wait<0>();
#ifndef MINIDL_EMULATED
#pragma unroll
  for (int i = 0; i < R; ++i) {
    if constexpr (std::is_same_v<Sum, float>) {
      asm volatile("" : "+f"(d[i])::"memory");
    } else {
      asm volatile("" : "+r"(d[i])::"memory");
    }
  }
#endif
}

/// setmaxnreg: all warps of a warpgroup get N registers a thread (24 to 256, a multiple of 8).
template <int N>
MINIDL_DEVICE void increase_registers() {
  MINIDL_PTX_90A(emu::set_max_registers(N), "setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
MINIDL_DEVICE void decrease_registers() {
  MINIDL_PTX_90A(emu::set_max_registers(N), "setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

/// How an operand tile lies in shared memory: 8-row pieces with rows of that many bytes, whose
/// 16-byte chunks are permuted as TMA does.
enum class Swizzle : std::uint32_t { kNone = 0, k128 = 1, k64 = 2, k32 = 3 };

/// The matrix descriptor of a tile at shared address `start`. In bytes; K-major: `stride` from 8
/// rows to the next 8, `leading` (without swizzle only) from 16 bytes of K to the next. MN-major:
/// `leading` from one span of the swizzle along MN to the next, `stride` from 8 of K to the next 8;
/// without swizzle `stride` along MN, `leading` along K.
MINIDL_DEVICE std::uint64_t matrix_descriptor(std::uint32_t start, std::uint32_t leading,
                                              std::uint32_t stride, Swizzle swizzle) {
  return (start & 0x3ffff) >> 4 | static_cast<std::uint64_t>(leading >> 4) << 16 |
         static_cast<std::uint64_t>(stride >> 4) << 32 |
         static_cast<std::uint64_t>(static_cast<std::uint32_t>(swizzle)) << 62;
}

/// Operands of two fp8 types, as the T of wgmma.
template <class A, class B>
struct Mixed {};

#ifdef MINIDL_EMULATED
template <class T>
inline constexpr emu::Type kWgmmaType = std::is_same_v<T, __half>          ? emu::Type::kF16
                                        : std::is_same_v<T, __nv_bfloat16> ? emu::Type::kBf16
                                        : std::is_same_v<T, Tf32>          ? emu::Type::kTf32
                                        : std::is_same_v<T, __nv_fp8_e4m3> ? emu::Type::kE4m3
                                        : std::is_same_v<T, __nv_fp8_e5m2> ? emu::Type::kE5m2
                                                                           : emu::Type::kS8;
template <class T>
struct WgmmaTypes {
  static constexpr emu::Type a = kWgmmaType<T>, b = a;
};
template <class A, class B>
struct WgmmaTypes<Mixed<A, B>> {
  static constexpr emu::Type a = kWgmmaType<A>, b = kWgmmaType<B>;
};
#elif MINIDL_HAS_SM90A
#include "minidl/kernels/cuda/ptx/wgmma.inc"
#endif

/// d = A B + (scale_d ? d : 0). T: __half, __nv_bfloat16, Tf32, __nv_fp8_e4m3, __nv_fp8_e5m2 or a
/// Mixed of those two with float accumulators, std::int8_t with std::int32_t. N = 2 R: 8, 16, 32,
/// 64, 96, 128, 192 or 256. AMnMajor, BMnMajor: the operand is MN-major in shared memory, 16-bit
/// types only.
template <class T, bool AMnMajor = false, bool BMnMajor = false, class Sum, int R>
MINIDL_DEVICE void wgmma(Sum (&d)[R], std::uint64_t a, std::uint64_t b, bool scale_d) {
  static_assert(sizeof(T) == 2 || !(AMnMajor || BMnMajor), "only 16-bit operands may be MN-major");
#ifdef MINIDL_EMULATED
  emu::wgmma({WgmmaTypes<T>::a, WgmmaTypes<T>::b, 2 * R, AMnMajor, BMnMajor}, d, nullptr, a, b,
             scale_d);
#elif MINIDL_HAS_SM90A
  wgmma_shared<AMnMajor, BMnMajor>(d, a, b, scale_d, T{});
#else
  __trap();
#endif
}

/// The same with A in registers: with P elements to a register, a[i] is row 16 w + g + 8 (i % 2), k
/// from P t + 4 P (i / 2).
template <class T, bool BMnMajor = false, class Sum, int R>
MINIDL_DEVICE void wgmma(Sum (&d)[R], const std::uint32_t (&a)[4], std::uint64_t b, bool scale_d) {
  static_assert(sizeof(T) == 2 || !BMnMajor, "only 16-bit operands may be MN-major");
#ifdef MINIDL_EMULATED
  emu::wgmma({WgmmaTypes<T>::a, WgmmaTypes<T>::b, 2 * R, false, BMnMajor}, d, a, 0, b, scale_d);
#elif MINIDL_HAS_SM90A
  wgmma_registers<BMnMajor>(d, a, b, scale_d, T{});
#else
  __trap();
#endif
}

}  // namespace minidl::kernels::cuda::ptx
