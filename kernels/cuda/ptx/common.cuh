// What the PTX wrappers share. ptx/ is the only place with inline assembly; each wrapper has a body
// for the device and one for the emulator. Not part of the public interface.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#define MINIDL_DEVICE __device__ __forceinline__

// MINIDL_PTX_80(emulated, assembly...): the body of a wrapper that needs compute capability 8.0, as
// an expression for the emulator and operands of asm. Compiled for less, it traps: an empty body
// would make a kernel that silently does nothing.
#ifdef MINIDL_EMULATED
#define MINIDL_PTX_75(emulated, ...) emulated
#define MINIDL_PTX_80(emulated, ...) emulated
#define MINIDL_PTX_90(emulated, ...) emulated
#define MINIDL_PTX_90A(emulated, ...) emulated
#define MINIDL_HAS_SM90A 1
#else
#if __CUDA_ARCH__ >= 750
#define MINIDL_PTX_75(emulated, ...) asm volatile(__VA_ARGS__)
#else
#define MINIDL_PTX_75(emulated, ...) __trap()
#endif
#if __CUDA_ARCH__ >= 800
#define MINIDL_PTX_80(emulated, ...) asm volatile(__VA_ARGS__)
#else
#define MINIDL_PTX_80(emulated, ...) __trap()
#endif
#if __CUDA_ARCH__ >= 900
#define MINIDL_PTX_90(emulated, ...) asm volatile(__VA_ARGS__)
#else
#define MINIDL_PTX_90(emulated, ...) __trap()
#endif
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define MINIDL_PTX_90A(emulated, ...) asm volatile(__VA_ARGS__)
#define MINIDL_HAS_SM90A 1
#else
#define MINIDL_PTX_90A(emulated, ...) __trap()
#define MINIDL_HAS_SM90A 0
#endif
#endif

namespace minidl::kernels::cuda::ptx {

/// The 32-bit address that instructions take for a pointer into the block's shared memory.
MINIDL_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// tf32 as an operand type: the bits of an f32, of which the low 13 are ignored.
struct Tf32 {
  std::uint32_t bits;
};

}  // namespace minidl::kernels::cuda::ptx
