// Tier 1: matrix products in f32 and f64 without tensor cores, any strides.
//
// A block computes one 64 x 64 tile of the result as simt_tile.cuh says; tiles are numbered along
// x, those of a row of tiles next to each other, so that they find A's rows in L2; matrices of the
// batch along y. An operand is fetched along whichever dimension has the smaller stride.
//
// Bytes: each operand is read once per tile of the other's dimension, (m k ceil(n / 64) + k n
// ceil(m / 64)) elements from L2, m n written. f32 has 2 m n k flops for that: 16 per byte, so that
// L2 and the FMA units are about even on an H100 and shared memory is what limits.
//
// 1: 4 x 4 sums per thread, double-buffered; not measured yet.

#include <algorithm>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/gemm/simt_tile.cuh"
#include "minidl/kernels/cuda/gemm/tiers.h"

namespace minidl::kernels::cuda {
namespace {

using namespace simt;

/// An operand of a tile, by strides.
template <class T>
struct StridedSource {
  const T* at;                  // (mn, k) of the thread's place
  std::int64_t step, k_stride;  // from one of its four to the next
  int inside;                   // how many of the four there are

  __device__ StridedSource(const T* matrix, std::int64_t mn_stride, std::int64_t depth_stride,
                           std::int64_t mn0, std::int64_t mn_size, int mn)
      : at(matrix + (mn0 + mn) * mn_stride),
        step(16 * mn_stride),
        k_stride(depth_stride),
        inside(static_cast<int>(
            min(max((mn_size - mn0 - mn + 15) / 16, std::int64_t{0}), std::int64_t{4}))) {}

  __device__ T fetch(int j) const { return j < inside ? at[j * step] : T{0}; }
  __device__ void advance(int by) { at += by * k_stride; }
};

template <class T>
struct Problem {
  std::int64_t batch, m, n, k;
  const T *a, *b;
  std::int64_t a_row, a_column, a_batch, b_row, b_column, b_batch;
  const T* bias;
  std::int64_t bias_stride;
  T* out;
  std::int64_t column_tiles;
  bool aligned_rows;
};

template <class T, bool KDenseA, bool KDenseB>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor<T>)
    gemm_kernel(const Problem<T> p) {
  const std::int64_t m0 = blockIdx.x / p.column_tiles * kTile;
  const std::int64_t n0 = blockIdx.x % p.column_tiles * kTile;
  const SumPlace place;
  const std::int64_t row = m0 + place.row, column = n0 + place.column;
  const bool wanted = row < p.m && column < p.n;
  Quad<T> bias{};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (p.bias != nullptr && column + j < p.n) bias.v[j] = p.bias[(column + j) * p.bias_stride];
  }
  for (std::int64_t i = blockIdx.y; i < p.batch; i += gridDim.y) {
    TileSums<T> sums;
    add_products<T, KDenseA, KDenseB>(StridedSource<T>(p.a + i * p.a_batch, p.a_row, p.a_column, m0,
                                                       p.m, FetchPlace<KDenseA>{}.mn),
                                      StridedSource<T>(p.b + i * p.b_batch, p.b_column, p.b_row, n0,
                                                       p.n, FetchPlace<KDenseB>{}.mn),
                                      p.k, wanted, sums);
    if (!wanted) continue;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (row + r >= p.m) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j) sums.rows[r].v[j] += bias.v[j];
      store_quad(p.out + (i * p.m + row + r) * p.n + column, sums.rows[r], p.n - column,
                 p.aligned_rows);
    }
  }
}

template <class T>
void run(const ExecContext& ctx, const Gemm& g) {
  const std::int64_t column_tiles = ceil_div(g.n, kTile);
  const Problem<T> p{g.batch,
                     g.m,
                     g.n,
                     g.k,
                     static_cast<const T*>(g.a.data),
                     static_cast<const T*>(g.b.data),
                     g.a.row_stride,
                     g.a.column_stride,
                     g.a.batch_stride,
                     g.b.row_stride,
                     g.b.column_stride,
                     g.b.batch_stride,
                     static_cast<const T*>(g.bias),
                     g.bias_stride,
                     static_cast<T*>(g.out),
                     column_tiles,
                     has_aligned_rows(static_cast<const T*>(g.out), g.n)};
  const std::int64_t tiles = ceil_div(g.m, kTile) * column_tiles;
  const LaunchConfig config{
      .name = "gemm_simt",
      .grid = dim3(static_cast<unsigned>(tiles),
                   static_cast<unsigned>(std::min<std::int64_t>(g.batch, kMostBlocksY))),
      .block = dim3(kThreads),
      .stream = stream_of(ctx)};
  const bool a = g.a.column_stride <= g.a.row_stride, b = g.b.row_stride <= g.b.column_stride;
  launch(config,
         a ? (b ? gemm_kernel<T, true, true> : gemm_kernel<T, true, false>)
           : (b ? gemm_kernel<T, false, true> : gemm_kernel<T, false, false>),
         p);
}

}  // namespace

std::string why_not_simt(const Capability&, const Gemm& g) {
  if (g.dtype != f32 && g.dtype != f64) {
    return fmt::format("dtype must be f32 or f64, got {}", g.dtype);
  }
  if (ceil_div(g.m, kTile) > kMostBlocksX / ceil_div(g.n, kTile)) {
    return fmt::format("a result of {} x {} has more than 2^31 tiles", g.m, g.n);
  }
  return "";
}

void gemm_simt(ExecContext& ctx, const Capability&, const Gemm& g) {
  if (g.dtype == f32) {
    run<float>(ctx, g);
  } else {
    run<double>(ctx, g);
  }
}

}  // namespace minidl::kernels::cuda
