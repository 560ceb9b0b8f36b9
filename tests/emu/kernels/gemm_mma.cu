// Tiles of 128 x 128 x 32 by 8 warps (2 x 4): three stages of cp.async, ldmatrix, mma.sync.
#include "kernels.h"
#include "minidl/kernels/cuda/launch.cuh"
#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/ldmatrix.cuh"
#include "minidl/kernels/cuda/ptx/mma.cuh"

namespace emu_kernels {
namespace {

using namespace minidl::kernels::cuda::ptx;

constexpr int kM = 128, kN = 128, kK = 32, kStages = 3, kThreads = 256;
constexpr std::size_t kSharedBytes = std::size_t{kStages} * (kM * kK + kK * kN) * 2;

// Where 16-byte chunk c of row r lies, permuted so that 8 rows fall into different banks: rows of A
// are 4 chunks, rows of B 16.
MINIDL_DEVICE int at_a(int r, int c) {
  return r * kK + (c ^ (r >> 1 & 3)) * 8;
}
MINIDL_DEVICE int at_b(int r, int c) {
  return r * kN + (c ^ (r & 7)) * 8;
}

// What a block needs to copy its tiles.
template <class T>
struct Tiles {
  const T *a, *b;
  int m, n, k, m0, n0;
  T* shared;

  MINIDL_DEVICE T* tile_a(int stage) const { return shared + stage * kM * kK; }
  MINIDL_DEVICE T* tile_b(int stage) const { return shared + kStages * kM * kK + stage * kK * kN; }

  MINIDL_DEVICE void load(int stage, int k0) const {
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < kM * kK / 8; i += kThreads) {
      const int r = i / 4, c = i % 4, row = m0 + r, column = k0 + c * 8;
      const bool inside = row < m && column < k;
      cp_async<16>(shared_address(tile_a(stage) + at_a(r, c)),
                   inside ? a + static_cast<std::size_t>(row) * k + column : a, inside ? 16 : 0);
    }
    for (int i = thread; i < kK * kN / 8; i += kThreads) {
      const int r = i / 16, c = i % 16, row = k0 + r, column = n0 + c * 8;
      const bool inside = row < k && column < n;
      cp_async<16>(shared_address(tile_b(stage) + at_b(r, c)),
                   inside ? b + static_cast<std::size_t>(row) * n + column : b, inside ? 16 : 0);
    }
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    gemm_kernel(const T* __restrict__ a, const T* __restrict__ b, float* __restrict__ c, int m,
                int n, int k) {
  MINIDL_DYNAMIC_SHARED(T, shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int wm = warp / 4 * 64, wn = warp % 4 * 32;  // the warp's 64 x 32 of the tile
  const int m0 = static_cast<int>(blockIdx.y) * kM, n0 = static_cast<int>(blockIdx.x) * kN;
  const Tiles<T> tiles{a, b, m, n, k, m0, n0, shared};

  float acc[4][4][4] = {};
  const int steps = (k + kK - 1) / kK;
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) tiles.load(s, s * kK);
    cp_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    const int next = step + kStages - 1;
    if (next < steps) tiles.load(next % kStages, next * kK);
    cp_async_commit();
    const T *tile_a = tiles.tile_a(step % kStages), *tile_b = tiles.tile_b(step % kStages);
    for (int kk = 0; kk < kK; kk += 16) {
      std::uint32_t fa[4][4], fb[4][2];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        ldmatrix(fa[i], shared_address(tile_a + at_a(wm + i * 16 + lane % 16, kk / 8 + lane / 16)));
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        ldmatrix<true>(fb[j], shared_address(tile_b + at_b(kk + lane % 16, (wn + j * 8) / 8)));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) mma_m16n8k16(acc[i][j], fa[i], fb[j], T{});
      }
    }
  }
  cp_async_wait<0>();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = m0 + wm + i * 16 + lane / 4 + 8 * h,
                  column = n0 + wn + j * 8 + lane % 4 * 2;
        if (row < m && column < n) {
          *reinterpret_cast<float2*>(c + static_cast<std::size_t>(row) * n + column) =
              make_float2(acc[i][j][2 * h], acc[i][j][2 * h + 1]);
        }
      }
    }
  }
}

unsigned tiles_of(int size, int tile) {
  return static_cast<unsigned>((size + tile - 1) / tile);
}

}  // namespace

template <class T>
void gemm_mma(const T* a, const T* b, float* c, int m, int n, int k) {
  minidl::kernels::cuda::launch(
      {"gemm_mma", dim3(tiles_of(n, kN), tiles_of(m, kM)), dim3(kThreads), kSharedBytes},
      gemm_kernel<T>, a, b, c, m, n, k);
}
template void gemm_mma(const __half*, const __half*, float*, int, int, int);
template void gemm_mma(const __nv_bfloat16*, const __nv_bfloat16*, float*, int, int, int);

}  // namespace emu_kernels
