// Tier 3: matrix products of f16 and bf16 by TMA and wgmma, compute capability 9.0.
//
// Persistent and warp-specialised: in each block of 384 threads warpgroup 0 gives its registers
// away and one of its threads fetches slices of 64 along K by TMA; the two others multiply 64 rows
// each with the whole width of the tile. Slices pass between them in a ring of four stages through
// two mbarriers each, `full` (the bytes are there) and `empty` (every warp of the consumers has
// done with them). TMA fills up with zeros beyond the matrix.
//
//   small   128 x 128 tiles, single blocks
//   wide    128 x 256 tiles; two blocks of a cluster take tiles below each other, and each fetches
//           one half of the B slice for both. Where there are enough of them (kWideTiles)
//
// Operands may be K-major or MN-major: wgmma takes both. Tiles are numbered down the columns of
// tiles, matrix by matrix, and dealt out to the clusters in turn.
//
// Bytes: per slice of a wide tile 16 KiB of A and half of 32 KiB of B from L2 for 2 * 128 * 256 *
// 64 flops: 128 flops per byte.
//
// 1: the pipeline; results are stored from registers. Not measured yet.

#include <cuda.h>

#include <algorithm>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/gemm/tensor_epilogue.cuh"
#include "minidl/kernels/cuda/gemm/tiers.h"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"

namespace minidl::kernels::cuda {
namespace {

using namespace ptx;

constexpr int kTileM = 128, kSlice = 64, kThreads = 384, kStages = 4;
constexpr std::uint32_t kRow = kSlice * 2;  // bytes, also the span of the swizzle
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;
static_assert(128 * kProducerRegisters + 256 * kConsumerRegisters <= 65536);
// Half a wave of the largest Hopper GPU: fewer wide tiles would leave more than that idle. A
// constant, so that results do not depend on the GPU.
constexpr std::int64_t kWideTiles = 64;

/// A thread's position in the ring.
template <int TileN>
struct Ring {
  static constexpr std::uint32_t kBytesA = kTileM * kRow, kBytesB = TileN * kRow;
  static constexpr std::size_t kBytes = std::size_t{kStages} * (kBytesA + kBytesB);

  std::uint32_t slices, barriers;  // shared addresses
  int stage = 0;
  std::uint32_t parity = 0;

  MINIDL_DEVICE std::uint32_t a() const { return slices + stage * kBytesA; }
  MINIDL_DEVICE std::uint32_t b() const { return slices + kStages * kBytesA + stage * kBytesB; }
  MINIDL_DEVICE std::uint32_t full() const { return barriers + 8 * stage; }
  MINIDL_DEVICE std::uint32_t empty() const { return barriers + 8 * (kStages + stage); }
  MINIDL_DEVICE void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

/// The product without its operands' places, which the tensor maps have.
struct Sizes {
  int batch, m, n, k;
  bool a_stretched, b_stretched;  ///< one matrix for the whole batch
};

/// Which tiles a cluster computes: it takes Cluster tiles below each other at a time.
template <int TileN, int Cluster>
struct Schedule {
  int groups, columns, matrices;

  __host__ __device__ explicit Schedule(const Sizes& s)
      : groups((s.m + Cluster * kTileM - 1) / (Cluster * kTileM)),
        columns((s.n + TileN - 1) / TileN),
        matrices(s.batch) {}
  __host__ __device__ std::int64_t steps() const {
    return std::int64_t{groups} * columns * matrices;
  }

  MINIDL_DEVICE std::int64_t first() const { return blockIdx.x / Cluster; }
  MINIDL_DEVICE std::int64_t stride() const { return gridDim.x / Cluster; }
  struct Tile {
    int matrix, m, n;
  };
  MINIDL_DEVICE Tile tile(std::int64_t step, int rank) const {
    const auto rest = static_cast<int>(step % (std::int64_t{groups} * columns));
    return {static_cast<int>(step / (std::int64_t{groups} * columns)),
            (rest % groups * Cluster + rank) * kTileM, rest / groups * TileN};
  }
};

template <bool AMnMajor, bool BMnMajor, int TileN, int Cluster>
MINIDL_DEVICE void produce(Ring<TileN> ring, const CUtensorMap* map_a, const CUtensorMap* map_b,
                           const Sizes& sizes, int rank) {
  constexpr int kPart = TileN / Cluster;
  constexpr auto kBlocks = static_cast<std::uint16_t>((1 << Cluster) - 1);
  const Schedule<TileN, Cluster> schedule(sizes);
  for (std::int64_t step = schedule.first(); step < schedule.steps(); step += schedule.stride()) {
    const auto tile = schedule.tile(step, rank);
    const int matrix_a = sizes.a_stretched ? 0 : tile.matrix;
    const int matrix_b = sizes.b_stretched ? 0 : tile.matrix;
    const int n = tile.n + rank * kPart;
    for (int k = 0; k < sizes.k; k += kSlice) {
      mbarrier_wait(ring.empty(), ring.parity ^ 1);
      mbarrier_arrive_expect(ring.full(), Ring<TileN>::kBytesA + Ring<TileN>::kBytesB);
      if constexpr (AMnMajor) {
        for (int i = 0; i < kTileM; i += 64) {
          tma_load(ring.a() + i * kRow, map_a, ring.full(), {tile.m + i, k, matrix_a});
        }
      } else {
        tma_load(ring.a(), map_a, ring.full(), {k, tile.m, matrix_a});
      }
      constexpr int kBoxes = BMnMajor ? kPart / 64 : 1;
      for (int i = 0; i < kBoxes; ++i) {
        const std::uint32_t to = ring.b() + (rank * kPart + i * 64) * kRow;
        const std::int32_t c[3] = {BMnMajor ? n + 64 * i : k, BMnMajor ? k : n, matrix_b};
        if constexpr (Cluster > 1) {
          tma_load_multicast(to, map_b, ring.full(), c, kBlocks);
        } else {
          tma_load(to, map_b, ring.full(), c);
        }
      }
      ring.advance();
    }
  }
}

/// The 16 k from number `k` * 16 on of a slice: a descriptor with the 128-byte swizzle.
template <bool MnMajor>
MINIDL_DEVICE std::uint64_t piece(std::uint32_t slice, int k) {
  return MnMajor ? matrix_descriptor(slice + k * 2048, 64 * kRow, 1024, Swizzle::k128)
                 : matrix_descriptor(slice + k * 32, 16, 1024, Swizzle::k128);
}

/// Tells the producers of all blocks that a warp has done with a stage.
template <int Cluster>
MINIDL_DEVICE void release(std::uint32_t empty) {
  const std::uint32_t lane = threadIdx.x % 32;
  if constexpr (Cluster == 1) {
    if (lane == 0) mbarrier_arrive(empty);
  } else if (lane < Cluster) {
    mbarrier_arrive_cluster(cluster_address(empty, lane));
  }
  __syncwarp();  // what follows is .aligned
}

template <class T, bool AMnMajor, bool BMnMajor, int TileN, int Cluster>
MINIDL_DEVICE void consume(Ring<TileN> ring, const Epilogue<T>& epilogue, const Sizes& sizes,
                           int rank) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int half = thread / 128 - 1;  // which 64 rows
  const Schedule<TileN, Cluster> schedule(sizes);
  float sums[TileN / 2];
  for (std::int64_t step = schedule.first(); step < schedule.steps(); step += schedule.stride()) {
    std::uint32_t previous = 0;
    for (int k = 0; k < sizes.k; k += kSlice) {
      mbarrier_wait(ring.full(), ring.parity);
      const std::uint32_t a = ring.a() + half * 64 * kRow, b = ring.b();
      wgmma_fence();
#pragma unroll
      for (int i = 0; i < kSlice / 16; ++i) {
        wgmma<T, AMnMajor, BMnMajor>(sums, piece<AMnMajor>(a, i), piece<BMnMajor>(b, i),
                                     k > 0 || i > 0);
      }
      wgmma_commit();
      wgmma_wait<1>();  // the products of the stage before are done
      if (previous != 0) release<Cluster>(previous);
      previous = ring.empty();
      ring.advance();
    }
    wgmma_wait_all(sums);
    release<Cluster>(previous);
    const auto tile = schedule.tile(step, rank);
    const int row = tile.m + half * 64 + thread % 128 / 32 * 16 + lane / 4;
    const int column = tile.n + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < TileN / 2; i += 2) {
      epilogue.store(tile.matrix, row + 8 * (i / 2 % 2), column + i / 4 * 8, sums[i], sums[i + 1]);
    }
  }
}

template <class T, bool AMnMajor, bool BMnMajor, int TileN, int Cluster>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_kernel(const __grid_constant__ CUtensorMap map_a,
                const __grid_constant__ CUtensorMap map_b, const Epilogue<T> epilogue,
                const Sizes sizes) {
#if MINIDL_HAS_SM90A
  MINIDL_DYNAMIC_SHARED(unsigned char, slices);
  MINIDL_SHARED(std::uint64_t, barriers, [2 * kStages]);
  const Ring<TileN> ring{shared_address(slices), shared_address(barriers)};
  const int rank = Cluster > 1 ? static_cast<int>(cluster_rank()) : 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(ring.barriers + 8 * i, 1);
      // A warp has 16 rows.
      mbarrier_init(ring.barriers + 8 * (kStages + i), kTileM / 16 * Cluster);
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
    decrease_registers<kProducerRegisters>();
    if (threadIdx.x == 0) {
      produce<AMnMajor, BMnMajor, TileN, Cluster>(ring, &map_a, &map_b, sizes, rank);
    }
  } else {
    increase_registers<kConsumerRegisters>();
    consume<T, AMnMajor, BMnMajor, TileN, Cluster>(ring, epilogue, sizes, rank);
  }
  __syncwarp();  // the cluster barrier is .aligned, and one lane comes from a loop of its own
  if constexpr (Cluster > 1) cluster_sync();  // nobody leaves while peers may write to it
#else
  __trap();
#endif
}

/// Boxes of `mn` along mn and a slice of k; along mn no more than the swizzle's span where that is
/// the major dimension.
CUtensorMap operand_map(const char* name, DType dtype, const TensorOperand& operand, int mn) {
  const auto type =
      dtype == f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const bool stretched = operand.batch_stride == 0;
  const auto u64 = [](std::int64_t x) { return static_cast<std::uint64_t>(x); };
  const std::uint64_t row = u64(operand.mn_major ? operand.k_stride : operand.mn_stride) * 2;
  // Of a single matrix the distance to the next does not matter, only that it is a valid one.
  const std::uint64_t matrix = stretched ? row : u64(operand.batch_stride) * 2;
  const std::uint64_t matrices = stretched ? 1 : u64(operand.batch);
  if (operand.mn_major) {
    return make_tensor_map({name,
                            operand.data,
                            type,
                            2,
                            {u64(operand.mn), u64(operand.k), matrices},
                            {row, matrix},
                            {64, kSlice, 1}});
  }
  return make_tensor_map({name,
                          operand.data,
                          type,
                          2,
                          {u64(operand.k), u64(operand.mn), matrices},
                          {row, matrix},
                          {kSlice, static_cast<std::uint32_t>(mn), 1}});
}

Sizes sizes_of(const Gemm& g, const TensorOperand& a, const TensorOperand& b) {
  const auto size = [](std::int64_t x) { return static_cast<int>(x); };
  return {size(g.batch), size(g.m), size(g.n), size(g.k), a.batch_stride == 0, b.batch_stride == 0};
}

template <class T, int TileN, int Cluster>
void run(const ExecContext& ctx, const Capability& device, const Gemm& g) {
  const TensorOperand a = tensor_operand_a(g), b = tensor_operand_b(g);
  const Sizes sizes = sizes_of(g, a, b);
  const std::int64_t clusters = std::min<std::int64_t>(Schedule<TileN, Cluster>(sizes).steps(),
                                                       std::max(device.processors / Cluster, 1));
  const LaunchConfig config{.name = "gemm_wgmma",
                            .grid = dim3(static_cast<unsigned>(clusters * Cluster)),
                            .block = dim3(kThreads),
                            .shared_bytes = Ring<TileN>::kBytes,
                            .stream = stream_of(ctx),
                            .cluster = dim3(Cluster)};
  launch(config,
         a.mn_major ? (b.mn_major ? gemm_kernel<T, true, true, TileN, Cluster>
                                  : gemm_kernel<T, true, false, TileN, Cluster>)
                    : (b.mn_major ? gemm_kernel<T, false, true, TileN, Cluster>
                                  : gemm_kernel<T, false, false, TileN, Cluster>),
         operand_map("a", g.dtype, a, kTileM), operand_map("b", g.dtype, b, TileN / Cluster),
         epilogue_of<T>(g), sizes);
}

template <class T>
void run(const ExecContext& ctx, const Capability& device, const Gemm& g) {
  const bool two_rows = g.m > kTileM;
  const std::int64_t wide = ceil_div(g.m, kTileM) * ceil_div(g.n, 256) * g.batch;
  if (two_rows && wide >= kWideTiles) {
    run<T, 256, 2>(ctx, device, g);
  } else {
    run<T, 128, 1>(ctx, device, g);
  }
}

}  // namespace

std::string why_not_wgmma(const Capability& device, const Gemm& g) {
  if (g.dtype != f16 && g.dtype != bf16) {
    return fmt::format("dtype must be f16 or bf16, got {}", g.dtype);
  }
  if (device.major != 9 || device.minor != 0 || !device.specific) {
    return fmt::format("it needs compute capability 9.0 and code for 90a, this is {}.{}{}",
                       device.major, device.minor, device.specific ? "a" : "");
  }
  if (g.k == 0) return "k must not be 0";
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // coordinates are 32-bit
  if (std::max({g.batch, g.m, g.n, g.k}) > kMost) return "sizes must not exceed 2^30";
  const TensorOperand a = tensor_operand_a(g), b = tensor_operand_b(g);
  constexpr std::int64_t kFar = std::int64_t{1} << 39;  // elements: 2^40 bytes
  const auto fits = [](const TensorOperand& x) {
    return x.aligned && std::max({x.mn_stride, x.k_stride, x.batch_stride}) < kFar;
  };
  if (!fits(a) || !fits(b)) {
    return fmt::format(
        "TMA cannot fetch {}: it wants a dense dimension, and an address and all "
        "other strides in multiples of 16 bytes",
        fits(a) ? "b" : "a");
  }
  return "";
}

void gemm_wgmma(ExecContext& ctx, const Capability& device, const Gemm& g) {
  if (g.dtype == f16) {
    run<__half>(ctx, device, g);
  } else {
    run<__nv_bfloat16>(ctx, device, g);
  }
}

}  // namespace minidl::kernels::cuda
