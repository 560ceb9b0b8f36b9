// ldmatrix and stmatrix: 8x8 matrices of 16-bit elements between shared memory and registers, by a
// full warp. Lane 8 i + r gives the address of row r of matrix i (16 bytes, aligned to 16); of
// matrix i, lane l has row l / 4, columns 2 (l % 4) and + 1, in register i; Transposed: row and
// column exchanged.
#pragma once

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// N = 1, 2 or 4 matrices; compute capability 7.5.
template <bool Transposed = false, int N>
MINIDL_DEVICE void ldmatrix(std::uint32_t (&r)[N], std::uint32_t address) {
  static_assert(N == 1 || N == 2 || N == 4);
  if constexpr (N == 1 && !Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                  : "=r"(r[0])
                  : "r"(address)
                  : "memory");
  } else if constexpr (N == 1 && Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                  : "=r"(r[0])
                  : "r"(address)
                  : "memory");
  } else if constexpr (N == 2 && !Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                  : "=r"(r[0]), "=r"(r[1])
                  : "r"(address)
                  : "memory");
  } else if constexpr (N == 2 && Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                  : "=r"(r[0]), "=r"(r[1])
                  : "r"(address)
                  : "memory");
  } else if constexpr (N == 4 && !Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                  : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                  : "r"(address)
                  : "memory");
  } else if constexpr (N == 4 && Transposed) {
    MINIDL_PTX_75(emu::ldmatrix(r, N, Transposed, address),
                  "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                  : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                  : "r"(address)
                  : "memory");
  }
}

/// The reverse of ldmatrix; compute capability 9.0.
template <bool Transposed = false, int N>
MINIDL_DEVICE void stmatrix(std::uint32_t address, const std::uint32_t (&r)[N]) {
  static_assert(N == 1 || N == 2 || N == 4);
  if constexpr (N == 1 && !Transposed) {
    MINIDL_PTX_90(emu::stmatrix(address, r, N, Transposed),
                  "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%1};" ::"r"(address), "r"(r[0])
                  : "memory");
  } else if constexpr (N == 1 && Transposed) {
    MINIDL_PTX_90(emu::stmatrix(address, r, N, Transposed),
                  "stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(address),
                  "r"(r[0])
                  : "memory");
  } else if constexpr (N == 2 && !Transposed) {
    MINIDL_PTX_90(emu::stmatrix(address, r, N, Transposed),
                  "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(address),
                  "r"(r[0]), "r"(r[1])
                  : "memory");
  } else if constexpr (N == 2 && Transposed) {
    MINIDL_PTX_90(emu::stmatrix(address, r, N, Transposed),
                  "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(address),
                  "r"(r[0]), "r"(r[1])
                  : "memory");
  } else if constexpr (N == 4 && !Transposed) {
    MINIDL_PTX_90(emu::stmatrix(address, r, N, Transposed),
                  "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                  "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                  : "memory");
  } else if constexpr (N == 4 && Transposed) {
    MINIDL_PTX_90(
        emu::stmatrix(address, r, N, Transposed),
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
        "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
        : "memory");
  }
}

}  // namespace minidl::kernels::cuda::ptx
