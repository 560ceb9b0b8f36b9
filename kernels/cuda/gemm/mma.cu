// Tier 2: matrix products of f16 and bf16 by mma.sync, any strides.
//
// A block computes one 128 x 128 tile of the result, 8 warps (2 x 4) 64 x 32 each, as 4 x 4 pieces
// of 16 x 8. K is walked in slices of 32 through a ring of three stages in shared memory: while one
// is multiplied, the next two are on their way. Tiles are numbered along x, rows of tiles one after
// the other; matrices of the batch along y.
//
// An operand's slice lies in shared memory as it lies in the matrix, major dimension in rows, in
// 16-byte chunks that are permuted within their row so that the 8 rows that ldmatrix reads at once
// are in different banks. ldmatrix transposes where the fragment wants it.
//
//   Fetch::async     cp.async of 16 bytes; needs aligned rows (TensorOperand::aligned) and compute
//                    capability 8.0. A chunk that is cut by the matrix's edge is filled with zeros.
//   Fetch::elements  eight loads of one element for each chunk, with any strides. With f16 it
//                    multiplies in halves of k = 8, which compute capability 7.5 has.
//
// Bytes: per slice 16 KiB from L2 for 2 * 128 * 128 * 32 flops, 64 flops per byte; a warp reads 6
// KiB of fragments from shared memory for each 131072 flops.
//
// 1: cp.async in three stages; not measured yet.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/gemm/tensor_epilogue.cuh"
#include "minidl/kernels/cuda/gemm/tiers.h"
#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/ldmatrix.cuh"
#include "minidl/kernels/cuda/ptx/mma.cuh"

namespace minidl::kernels::cuda {
namespace {

using namespace ptx;

constexpr int kTile = 128, kSlice = 32, kStages = 3, kThreads = 256;
constexpr int kSliceElements = kTile * kSlice;
constexpr std::size_t kSharedBytes = std::size_t{kStages} * 2 * kSliceElements * 2;

enum class Fetch { async, elements };

/// Eight elements, which are moved at once.
template <class T>
struct alignas(16) Chunk {
  T v[8];
};

/// Where things are in a slice of an operand: element (mn, k) for multiples of 8 along the major
/// dimension. K-major: 128 rows of 4 chunks, else 32 rows of 16.
template <bool MnMajor>
MINIDL_DEVICE int place(int mn, int k) {
  return MnMajor ? k * kTile + (mn / 8 ^ (k & 7)) * 8 : mn * kSlice + (k / 8 ^ (mn >> 1 & 3)) * 8;
}

/// An operand's rows (columns, for b) of a tile.
template <class T>
struct Panel {
  const T* data;  // the first of them
  std::int64_t mn_stride, k_stride;
  int mn_left;  // how many there are in the matrix, at most 128

  /// Brings the slice that begins at k into shared memory.
  template <bool MnMajor, Fetch How>
  MINIDL_DEVICE void fetch(T* slice, std::int64_t k, std::int64_t depth) const {
    const int k_left = static_cast<int>(min(depth - k, std::int64_t{kSlice}));
#pragma unroll
    for (int i = 0; i < kSliceElements / 8 / kThreads; ++i) {
      const int chunk = i * kThreads + static_cast<int>(threadIdx.x);
      const int mn = MnMajor ? chunk % 16 * 8 : chunk / 4,
                dk = MnMajor ? chunk / 16 : chunk % 4 * 8;
      const int inside = MnMajor ? (dk < k_left ? min(mn_left - mn, 8) : 0)
                                 : (mn < mn_left ? min(k_left - dk, 8) : 0);
      const T* from = data + mn * mn_stride + (k + dk) * k_stride;
      T* to = slice + place<MnMajor>(mn, dk);
      if constexpr (How == Fetch::async) {
        cp_async<16>(shared_address(to), inside > 0 ? from : data, 2 * max(inside, 0));
      } else {
        const std::int64_t step = MnMajor ? mn_stride : k_stride;
        Chunk<T> elements;
#pragma unroll
        for (int j = 0; j < 8; ++j) elements.v[j] = j < inside ? from[j * step] : T(0.0F);
        *reinterpret_cast<Chunk<T>*>(to) = elements;
      }
    }
  }
};

/// A fragment of a: 16 rows from m, k to k + 15.
template <bool MnMajor, class T>
MINIDL_DEVICE void load_a(std::uint32_t (&a)[4], const T* slice, int m, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (MnMajor) {
    ldmatrix<true>(
        a, shared_address(slice + place<true>(m + (lane & 8), k + lane / 16 * 8 + lane % 8)));
  } else {
    ldmatrix(a, shared_address(slice + place<false>(m + lane % 16, k + lane / 16 * 8)));
  }
}

/// Two fragments of b, one behind the other: 8 columns from n and 8 from n + 8.
template <bool MnMajor, class T>
MINIDL_DEVICE void load_b(std::uint32_t (&b)[4], const T* slice, int n, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (MnMajor) {
    ldmatrix<true>(b, shared_address(slice + place<true>(n + lane / 16 * 8, k + lane % 16)));
  } else {
    ldmatrix(b, shared_address(slice + place<false>(n + lane / 16 * 8 + lane % 8, k + (lane & 8))));
  }
}

template <class T, Fetch How>
MINIDL_DEVICE void multiply(float (&d)[4], const std::uint32_t (&a)[4],
                            const std::uint32_t (&b)[2]) {
  if constexpr (How == Fetch::elements && std::is_same_v<T, __half>) {
    mma_m16n8k8(d, {a[0], a[1]}, {b[0]}, T{});
    mma_m16n8k8(d, {a[2], a[3]}, {b[1]}, T{});
  } else {
    mma_m16n8k16(d, a, b, T{});
  }
}

template <class T>
struct Problem {
  TensorOperand a, b;
  Epilogue<T> epilogue;
  std::int64_t column_tiles;
};

template <class T, bool MnMajor>
MINIDL_DEVICE Panel<T> panel(const TensorOperand& operand, std::int64_t matrix, std::int64_t mn) {
  return {
      static_cast<const T*>(operand.data) + matrix * operand.batch_stride + mn * operand.mn_stride,
      operand.mn_stride, operand.k_stride,
      static_cast<int>(min(operand.mn - mn, std::int64_t{kTile}))};
}

template <class T, bool AMnMajor, bool BMnMajor, Fetch How>
__global__ void __launch_bounds__(kThreads) gemm_kernel(const Problem<T> p) {
  MINIDL_DYNAMIC_SHARED(T, shared);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_m = warp / 4 * 64, warp_n = warp % 4 * 32;
  const std::int64_t m0 = blockIdx.x / p.column_tiles * kTile;
  const std::int64_t n0 = blockIdx.x % p.column_tiles * kTile;
  const std::int64_t depth = p.a.k;
  for (std::int64_t matrix = blockIdx.y; matrix < p.a.batch; matrix += gridDim.y) {
    const Panel<T> a = panel<T, AMnMajor>(p.a, matrix, m0), b = panel<T, BMnMajor>(p.b, matrix, n0);
    const auto slice_a = [&](int stage) { return shared + stage * 2 * kSliceElements; };
    const auto fetch = [&](int stage, std::int64_t k) {
      if (k < depth) {
        a.template fetch<AMnMajor, How>(slice_a(stage), k, depth);
        b.template fetch<BMnMajor, How>(slice_a(stage) + kSliceElements, k, depth);
      }
      if constexpr (How == Fetch::async) cp_async_commit();
    };
    float sums[4][4][4] = {};
    for (int s = 0; s < kStages - 1; ++s) fetch(s, s * kSlice);
    int stage = 0;
    for (std::int64_t k0 = 0; k0 < depth; k0 += kSlice) {
      if constexpr (How == Fetch::async) cp_async_wait<kStages - 2>();
      __syncthreads();
      const int free = stage == 0 ? kStages - 1 : stage - 1;  // multiplied in the last round
      fetch(free, k0 + (kStages - 1) * kSlice);
      const T *tile_a = slice_a(stage), *tile_b = tile_a + kSliceElements;
#pragma unroll
      for (int k = 0; k < kSlice; k += 16) {
        std::uint32_t fragment_a[4][4], fragment_b[2][4];
#pragma unroll
        for (int i = 0; i < 4; ++i) load_a<AMnMajor>(fragment_a[i], tile_a, warp_m + i * 16, k);
#pragma unroll
        for (int j = 0; j < 2; ++j) load_b<BMnMajor>(fragment_b[j], tile_b, warp_n + j * 16, k);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const std::uint32_t* pair = fragment_b[j / 2] + j % 2 * 2;
            multiply<T, How>(sums[i][j], fragment_a[i], {pair[0], pair[1]});
          }
        }
      }
      stage = stage == kStages - 1 ? 0 : stage + 1;
    }
    if constexpr (How == Fetch::async) cp_async_wait<0>();
    __syncthreads();  // before the next matrix overwrites what others still multiply
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          p.epilogue.store(matrix, m0 + warp_m + i * 16 + lane / 4 + 8 * h,
                           n0 + warp_n + j * 8 + lane % 4 * 2, sums[i][j][2 * h],
                           sums[i][j][2 * h + 1]);
        }
      }
    }
  }
}

template <class T, Fetch How>
void run(const ExecContext& ctx, const Gemm& g, const TensorOperand& a, const TensorOperand& b) {
  const std::int64_t column_tiles = ceil_div(g.n, kTile);
  const LaunchConfig config{.name = "gemm_mma",
                            .grid = dim3(static_cast<unsigned>(ceil_div(g.m, kTile) * column_tiles),
                                         static_cast<unsigned>(std::min(g.batch, kMostBlocksY))),
                            .block = dim3(kThreads),
                            .shared_bytes = kSharedBytes,
                            .stream = stream_of(ctx)};
  launch(config,
         a.mn_major
             ? (b.mn_major ? gemm_kernel<T, true, true, How> : gemm_kernel<T, true, false, How>)
             : (b.mn_major ? gemm_kernel<T, false, true, How> : gemm_kernel<T, false, false, How>),
         Problem<T>{a, b, epilogue_of<T>(g), column_tiles});
}

template <class T>
void run(const ExecContext& ctx, const Gemm& g, bool async) {
  const TensorOperand a = tensor_operand_a(g), b = tensor_operand_b(g);
  if (async && a.aligned && b.aligned) {
    run<T, Fetch::async>(ctx, g, a, b);
  } else {
    run<T, Fetch::elements>(ctx, g, a, b);
  }
}

}  // namespace

std::string why_not_mma(const Capability& device, const Gemm& g) {
  if (g.dtype != f16 && g.dtype != bf16) {
    return fmt::format("dtype must be f16 or bf16, got {}", g.dtype);
  }
  const int minor = g.dtype == f16 ? 5 : 0, major = g.dtype == f16 ? 7 : 8;
  if (!device.at_least(major, minor)) {
    return fmt::format("{} needs compute capability {}.{} and code for it, this is {}.{}", g.dtype,
                       major, minor, device.major, device.minor);
  }
  if (ceil_div(g.m, kTile) > kMostBlocksX / ceil_div(g.n, kTile)) {
    return fmt::format("a result of {} x {} has more than 2^31 tiles", g.m, g.n);
  }
  return "";
}

void gemm_mma(ExecContext& ctx, const Capability& device, const Gemm& g) {
  const bool async = device.at_least(8, 0);
  if (g.dtype == f16) {
    run<__half>(ctx, g, async);
  } else {
    run<__nv_bfloat16>(ctx, g, async);
  }
}

}  // namespace minidl::kernels::cuda
