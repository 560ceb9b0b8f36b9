// Persistent, warp-specialised: in each block of 384 threads warpgroup 0 fetches tiles by TMA, the
// other two multiply 64 rows each by wgmma. Stages pass between them through two mbarriers, `full`
// and `empty`.
#include <cuda.h>

#include "kernels.h"
#include "minidl/kernels/cuda/launch.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"

namespace emu_kernels {
namespace {

using namespace minidl::kernels::cuda::ptx;

constexpr int kM = 128, kK = 64, kThreads = 384, kStages = 4;
constexpr std::uint32_t kRow = kK * 2;  // bytes, also the span of the swizzle

template <int BlockN>
struct Stages {
  static constexpr std::uint32_t kBytesA = kM * kRow, kBytesB = BlockN * kRow;
  static constexpr std::size_t kBytes = std::size_t{kStages} * (kBytesA + kBytesB);

  std::uint32_t tiles, full, empty;  // shared addresses
  int stage = 0;
  std::uint32_t parity = 0;

  MINIDL_DEVICE std::uint32_t a() const { return tiles + stage * kBytesA; }
  MINIDL_DEVICE std::uint32_t b() const { return tiles + kStages * kBytesA + stage * kBytesB; }
  MINIDL_DEVICE std::uint32_t full_barrier() const { return full + 8 * stage; }
  MINIDL_DEVICE std::uint32_t empty_barrier() const { return empty + 8 * stage; }
  MINIDL_DEVICE void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// Which tiles a cluster computes: it covers Cluster consecutive row tiles at a time.
template <int BlockN, int Cluster>
struct Schedule {
  int row_groups, tiles;

  MINIDL_DEVICE Schedule(int m, int n) {
    const int rows = (m + kM - 1) / kM, columns = (n + BlockN - 1) / BlockN;
    row_groups = (rows + Cluster - 1) / Cluster;
    tiles = row_groups * columns;
  }
  MINIDL_DEVICE int first() const { return static_cast<int>(blockIdx.x) / Cluster; }
  MINIDL_DEVICE int step() const { return static_cast<int>(gridDim.x) / Cluster; }
  MINIDL_DEVICE int row(int tile, int rank) const {
    return (tile % row_groups * Cluster + rank) * kM;
  }
  MINIDL_DEVICE int column(int tile) const { return tile / row_groups * BlockN; }
};

// One thread of each block fetches. Of B, each block of a cluster fetches a part and sends it to
// all.
template <bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
MINIDL_DEVICE void produce(Stages<BlockN> stages, const CUtensorMap* map_a,
                           const CUtensorMap* map_b, int m, int n, int k, int rank) {
  constexpr int kPart = BlockN / Cluster;
  constexpr auto kBlocks = static_cast<std::uint16_t>((1 << Cluster) - 1);
  const Schedule<BlockN, Cluster> schedule(m, n);
  for (int tile = schedule.first(); tile < schedule.tiles; tile += schedule.step()) {
    const int m0 = schedule.row(tile, rank), n0 = schedule.column(tile) + rank * kPart;
    for (int k0 = 0; k0 < k; k0 += kK) {
      mbarrier_wait(stages.empty_barrier(), stages.parity ^ 1);
      const std::uint32_t full = stages.full_barrier();
      mbarrier_arrive_expect(full, Stages<BlockN>::kBytesA + Stages<BlockN>::kBytesB);
      if constexpr (AMnMajor) {
        for (int i = 0; i < kM; i += 64) {
          tma_load(stages.a() + i * kRow, map_a, full, {m0 + i, k0});
        }
      } else {
        tma_load(stages.a(), map_a, full, {k0, m0});
      }
      const std::uint32_t b = stages.b() + rank * kPart * kRow;
      constexpr int kBoxes = BMnMajor ? kPart / 64 : 1;
      for (int i = 0; i < kBoxes; ++i) {
        const std::uint32_t to = b + i * 64 * kRow;
        const std::int32_t c[2] = {BMnMajor ? n0 + 64 * i : k0, BMnMajor ? k0 : n0};
        if constexpr (Cluster > 1) {
          tma_load_multicast(to, map_b, full, c, kBlocks);
        } else {
          tma_load(to, map_b, full, c);
        }
      }
      stages.advance();
    }
  }
}

// A tile's K slice of 16: descriptors of operands with a 128-byte swizzle.
template <bool MnMajor>
MINIDL_DEVICE std::uint64_t slice(std::uint32_t tile, int k) {
  return MnMajor ? matrix_descriptor(tile + k * 2048, 64 * kRow, 1024, Swizzle::k128)
                 : matrix_descriptor(tile + k * 32, 16, 1024, Swizzle::k128);
}

// Tells the producers of all blocks that a warp has done with a stage.
template <int Cluster>
MINIDL_DEVICE void release(std::uint32_t empty) {
  const std::uint32_t lane = threadIdx.x % 32;
  if constexpr (Cluster == 1) {
    if (lane == 0) mbarrier_arrive(empty);
  } else if (lane < Cluster) {
    mbarrier_arrive_cluster(cluster_address(empty, lane));
  }
}

template <class T, bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
MINIDL_DEVICE void consume(Stages<BlockN> stages, float* __restrict__ c, int m, int n, int k,
                           int rank) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int half = thread / 128 - 1;  // which 64 rows
  const Schedule<BlockN, Cluster> schedule(m, n);
  float acc[BlockN / 2];
  for (int tile = schedule.first(); tile < schedule.tiles; tile += schedule.step()) {
    std::uint32_t previous = 0;
    for (int k0 = 0; k0 < k; k0 += kK) {
      mbarrier_wait(stages.full_barrier(), stages.parity);
      const std::uint32_t a = stages.a() + half * 64 * kRow, b = stages.b();
      wgmma_fence();
#pragma unroll
      for (int i = 0; i < kK / 16; ++i) {
        wgmma<T, AMnMajor, BMnMajor>(acc, slice<AMnMajor>(a, i), slice<BMnMajor>(b, i),
                                     k0 > 0 || i > 0);
      }
      wgmma_commit();
      wgmma_wait<1>();  // the products of the stage before are done
      if (previous != 0) release<Cluster>(previous);
      previous = stages.empty_barrier();
      stages.advance();
    }
    wgmma_wait<0>();
    release<Cluster>(previous);
    const int row0 = schedule.row(tile, rank) + half * 64 + thread % 128 / 32 * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < BlockN / 2; i += 2) {
      const int row = row0 + 8 * (i / 2 % 2),
                column = schedule.column(tile) + i / 4 * 8 + lane % 4 * 2;
      if (row < m && column < n) {
        *reinterpret_cast<float2*>(c + static_cast<std::size_t>(row) * n + column) =
            make_float2(acc[i], acc[i + 1]);
      }
    }
  }
}

template <class T, bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_kernel(const __grid_constant__ CUtensorMap map_a,
                const __grid_constant__ CUtensorMap map_b, float* __restrict__ c, int m, int n,
                int k) {
#if MINIDL_HAS_SM90A
  MINIDL_DYNAMIC_SHARED(unsigned char, tiles);
  MINIDL_SHARED(std::uint64_t, barriers, [2 * kStages]);
  const std::uint32_t full = shared_address(barriers);
  const Stages<BlockN> stages{shared_address(tiles), full, full + 8 * kStages};
  const int rank = Cluster > 1 ? static_cast<int>(cluster_rank()) : 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(stages.full + 8 * i, 1);
      mbarrier_init(stages.empty + 8 * i, kM / 16 * Cluster);  // a warp has 16 rows
    }
    fence_mbarrier_init();
  }
  __syncwarp();
  if constexpr (Cluster > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x < 128) {
    decrease_registers<40>();
    if (threadIdx.x == 0) {
      produce<AMnMajor, BMnMajor, BlockN, Cluster>(stages, &map_a, &map_b, m, n, k, rank);
    }
  } else {
    increase_registers<232>();
    consume<T, AMnMajor, BMnMajor, BlockN, Cluster>(stages, c, m, n, k, rank);
  }
  __syncwarp();  // the cluster barrier is .aligned, and one lane comes from a loop of its own
  if constexpr (Cluster > 1) cluster_sync();  // nobody leaves while peers may write to it
#else
  __trap();
#endif
}

// 32 x 32 tiles through one buffer.
__global__ void __launch_bounds__(128)
    store_tiles_kernel(const __grid_constant__ CUtensorMap map, int row, int column, int tiles) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  for (int t = 0; t < tiles; ++t) {
    for (int i = static_cast<int>(threadIdx.x); i < 1024; i += static_cast<int>(blockDim.x)) {
      tile[i] = static_cast<float>(t * 1024 + i);
    }
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      tma_store(&map, shared_address(tile), {column, row + 32 * t});
      bulk_commit();
      bulk_wait_read<0>();
    }
    __syncthreads();
  }
}

// A row-major matrix of 16-bit elements.
template <class T>
CUtensorMap matrix_map(const char* name, const T* base, int rows, int columns, int box_rows,
                       int box_columns) {
  const auto type = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                              : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const auto size = [](int x) { return static_cast<std::uint64_t>(x); };
  return minidl::kernels::cuda::make_tensor_map(
      {name,
       base,
       type,
       2,
       {size(columns), size(rows)},
       {size(columns) * 2},
       {static_cast<std::uint32_t>(box_columns), static_cast<std::uint32_t>(box_rows)}});
}

}  // namespace

template <class T, bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
void gemm_wgmma(const T* a, const T* b, float* c, int m, int n, int k, int blocks) {
  const CUtensorMap map_a =
      AMnMajor ? matrix_map("a", a, k, m, kK, 64) : matrix_map("a", a, m, k, kM, kK);
  const CUtensorMap map_b =
      BMnMajor ? matrix_map("b", b, k, n, kK, 64) : matrix_map("b", b, n, k, BlockN / Cluster, kK);
  minidl::kernels::cuda::launch({"gemm_wgmma", dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                                 Stages<BlockN>::kBytes, nullptr, dim3(Cluster)},
                                gemm_kernel<T, AMnMajor, BMnMajor, BlockN, Cluster>, map_a, map_b,
                                c, m, n, k);
}

void store_tiles(float* c, int rows, int columns, int row, int column, int tiles) {
  const auto size = [](int x) { return static_cast<std::uint64_t>(x); };
  const CUtensorMap map = minidl::kernels::cuda::make_tensor_map({"c",
                                                                  c,
                                                                  CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                                                  4,
                                                                  {size(columns), size(rows)},
                                                                  {size(columns) * 4},
                                                                  {32, 32},
                                                                  0});
  minidl::kernels::cuda::launch({"store_tiles", dim3(1), dim3(128), 4096}, store_tiles_kernel, map,
                                row, column, tiles);
}

using F16 = __half;
using Bf16 = __nv_bfloat16;
template void gemm_wgmma<Bf16, false, false, 128, 1>(const Bf16*, const Bf16*, float*, int, int,
                                                     int, int);
template void gemm_wgmma<Bf16, false, true, 128, 1>(const Bf16*, const Bf16*, float*, int, int, int,
                                                    int);
template void gemm_wgmma<Bf16, true, false, 128, 1>(const Bf16*, const Bf16*, float*, int, int, int,
                                                    int);
template void gemm_wgmma<Bf16, true, true, 128, 1>(const Bf16*, const Bf16*, float*, int, int, int,
                                                   int);
template void gemm_wgmma<F16, false, false, 256, 1>(const F16*, const F16*, float*, int, int, int,
                                                    int);
template void gemm_wgmma<F16, false, false, 128, 2>(const F16*, const F16*, float*, int, int, int,
                                                    int);
template void gemm_wgmma<F16, false, true, 256, 2>(const F16*, const F16*, float*, int, int, int,
                                                   int);

}  // namespace emu_kernels
