// Mistakes with mbarriers, TMA, wgmma and clusters. Kernels take their mistake as a parameter, so
// that the correct one is the same kernel with none.
#include <cmath>

#include "bugs.h"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"
#include "tests/emu/support.h"

namespace emu_test::bugs {
namespace {

using namespace minidl::kernels::cuda::ptx;

// --- A tile of 32 x 32 floats comes by TMA, every thread reads it

enum class Load {
  kCorrect,
  kParity,
  kTooMany,
  kTooFew,
  kNoInit,
  kNoFence,
  kNoBarrier,
  kOverwritten,
  kArrivals,
  kMisaligned,
  kPastShared,
  kNoMap,
  kNoWait,
};

constexpr std::uint32_t kTile = 32 * 32 * 4;

__global__ void load_kernel(const __grid_constant__ CUtensorMap map, float* out, Load bug) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object);
  if (threadIdx.x == 0 && bug != Load::kNoInit) {
    mbarrier_init(barrier, 1);
    if (bug != Load::kNoFence) fence_mbarrier_init();
  }
  if (bug != Load::kNoBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (bug == Load::kOverwritten) object[0] = 0;
    std::uint32_t bytes = kTile, to = shared_address(tile);
    if (bug == Load::kTooMany) bytes += 16;
    if (bug == Load::kTooFew) bytes -= 16;
    if (bug == Load::kMisaligned) to += 512;
    if (bug == Load::kPastShared) to += 1024;
    mbarrier_arrive_expect(barrier, bytes);
    if (bug == Load::kArrivals) {
      mbarrier_arrive(barrier);
      mbarrier_arrive(barrier);
    }
    alignas(128) CUtensorMap none{};
    tma_load(to, bug == Load::kNoMap ? &none : &map, barrier, {0, 0});
  }
  if (bug != Load::kNoWait) mbarrier_wait(barrier, bug == Load::kParity ? 1 : 0);
  float sum = 0;
  for (unsigned i = threadIdx.x; i < 1024; i += blockDim.x) sum += tile[i];
  out[threadIdx.x] = sum;
  __syncthreads();
  if (bug == Load::kParity) mbarrier_wait(barrier, 1);
  if (bug == Load::kNoWait && threadIdx.x == 0) mbarrier_wait(barrier, 0);
}

CUtensorMap float_map(const float* p, std::uint64_t rows, unsigned swizzle) {
  return minidl::kernels::cuda::make_tensor_map(
      {"x", p, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, {32, rows}, {128}, {32, 32}, swizzle});
}

void load(Load bug) {
  const std::vector<float> in(1024, 1);
  std::vector<float> out(64, NAN);
  launch(blocks("load", 1, 64, kTile), load_kernel, float_map(in.data(), 32, 128), out.data(), bug);
  if (out != std::vector<float>(64, 16)) wrong_result();
}

// --- Threads write a tile, TMA stores it, twice through the same memory

enum class Store {
  kCorrect,
  kNoFence,
  kLateFence,
  kNoWait,
  kOtherWaits,
  kForgotten,
};

__global__ void store_kernel(const __grid_constant__ CUtensorMap map, Store bug) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  for (int round = 0; round < 2; ++round) {
    for (unsigned i = threadIdx.x; i < 1024; i += blockDim.x) {
      tile[i] = static_cast<float>(round * 1024) + static_cast<float>(i);
    }
    if (bug != Store::kNoFence && bug != Store::kLateFence) fence_proxy_async();
    __syncthreads();
    if (bug == Store::kLateFence && threadIdx.x > 0) fence_proxy_async();
    if (threadIdx.x == 0) {
      tma_store(&map, shared_address(tile), {0, 32 * round});
      bulk_commit();
      if (bug != Store::kNoWait && bug != Store::kOtherWaits && bug != Store::kForgotten) {
        bulk_wait_read<0>();
      }
    }
    if (bug == Store::kOtherWaits && threadIdx.x == 32) bulk_wait_read<0>();
    __syncthreads();
  }
  if (bug != Store::kForgotten && threadIdx.x == 0) bulk_wait<0>();
}

void store(Store bug) {
  std::vector<float> out(2048, NAN);
  launch(blocks("store", 1, 64, kTile), store_kernel, float_map(out.data(), 64, 0), bug);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] != static_cast<float>(i)) wrong_result();
  }
}

// --- A 64 x 16 by 16 x 8 product of tiles of ones

enum class Product {
  kCorrect,
  kNoFence,
  kNoWait,
  kForgotten,
  kNoProxyFence,
  kOverwritten,
  kWrongN,
  kPastShared,
  kInBranch,
};

__global__ void product_kernel(float* out, Product bug) {
  MINIDL_DYNAMIC_SHARED(std::int8_t, tiles);  // A: 64 rows of 32 bytes, B: 48, no swizzle
  auto* words = reinterpret_cast<std::uint32_t*>(tiles);
  for (unsigned i = threadIdx.x; i < 112 * 8; i += 128) words[i] = 0x01010101;
  if (bug != Product::kNoProxyFence) fence_proxy_async();
  __syncthreads();
  if (bug == Product::kInBranch && threadIdx.x >= 96) return;

  const std::uint32_t a = shared_address(tiles), b = a + 64 * 32;
  const std::uint32_t past = bug == Product::kPastShared ? 48 * 32 : 0;
  const auto da = matrix_descriptor(a, 128, 256, Swizzle::kNone),
             db = matrix_descriptor(b + past, 128, 256, Swizzle::kNone);
  std::int32_t d[20] = {};
  if (bug != Product::kNoFence) wgmma_fence();
  if (bug == Product::kWrongN) {
    wgmma<std::int8_t>(d, da, db, true);
  } else {
    std::int32_t small[4] = {};
    wgmma<std::int8_t>(small, da, db, true);
    wgmma_commit();
    if (bug == Product::kOverwritten) words[threadIdx.x] = 0;
    if (bug != Product::kNoWait && bug != Product::kForgotten) wgmma_wait_all(small);
    d[0] = small[0];
    if (bug == Product::kNoWait || bug == Product::kOverwritten) wgmma_wait_all(small);
  }
  out[threadIdx.x] = static_cast<float>(d[0]);
}

void product(Product bug) {
  std::vector<float> out(128, NAN);
  launch(blocks("product", 1, 128, 112 * 32), product_kernel, out.data(), bug);
  if (out != std::vector<float>(128, 32)) wrong_result();
}

// --- Every block of a cluster of 2 writes a number to the other and arrives at its barrier

enum class Pair {
  kCorrect,
  kNoLastBarrier,
  kEnded,
  kDiverged,
  kSkipped,
  kRace,
};

__global__ void pair_kernel(std::uint32_t* out, Pair bug) {
  MINIDL_SHARED(std::uint64_t, object, [1]);
  MINIDL_SHARED(std::uint32_t, mail, [1]);
  const std::uint32_t barrier = shared_address(object), rank = cluster_rank(), other = 1 - rank;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    mail[0] = 0;
    fence_mbarrier_init();
  }
  __syncwarp();
  if (bug == Pair::kRace && threadIdx.x == 0 && rank == 1) {
    store_cluster(cluster_address(shared_address(mail), 0), 7);  // block 0 may be before its store
  }
  cluster_sync();
  if (bug == Pair::kEnded && rank == 0) return;
  for (int i = 0; bug == Pair::kEnded && i < 100; ++i) __nanosleep(1000);
  if (threadIdx.x == 0) {
    store_cluster(cluster_address(shared_address(mail), other), 100 + rank);
    mbarrier_arrive_cluster(cluster_address(barrier, other));
    if (bug == Pair::kDiverged) {
      mbarrier_wait(barrier, 0);
      out[rank] = mail[0];
    }
  }
  if (bug == Pair::kSkipped && rank == 1) return;
  if (bug == Pair::kDiverged) {
    cluster_sync();
    return;
  }
  if (bug != Pair::kNoLastBarrier) {
    mbarrier_wait(barrier, 0);
    __syncwarp();
    cluster_sync();
  }
  // With an end of its own each block is gone before the other's message, or after.
  if (threadIdx.x == 0 && bug != Pair::kNoLastBarrier) out[rank] = mail[0];
}

void pair(Pair bug) {
  std::vector<std::uint32_t> out(2);
  LaunchConfig config = blocks("pair", 2, 32);
  config.cluster = dim3(2);
  launch(config, pair_kernel, out.data(), bug);
  if (out != std::vector<std::uint32_t>{101, 100}) wrong_result();
}

}  // namespace

void wrong_parity() {
  load(Load::kParity);
}
void expect_too_many() {
  load(Load::kTooMany);
}
void expect_too_few() {
  load(Load::kTooFew);
}
void mbarrier_uninitialised() {
  load(Load::kNoInit);
}
void mbarrier_not_fenced() {
  load(Load::kNoFence);
}
void mbarrier_init_race() {
  load(Load::kNoBarrier);
}
void mbarrier_overwritten() {
  load(Load::kOverwritten);
}
void too_many_arrivals() {
  load(Load::kArrivals);
}
void tma_misaligned() {
  load(Load::kMisaligned);
}
void tma_past_shared() {
  load(Load::kPastShared);
}
void tma_past_global() {
  const std::vector<float> in(1000, 1);
  std::vector<float> out(64, NAN);
  launch(blocks("load", 1, 64, kTile), load_kernel, float_map(in.data(), 32, 128), out.data(),
         Load::kCorrect);
}
void tma_no_map() {
  load(Load::kNoMap);
}
void tma_not_waited() {
  load(Load::kNoWait);
}
void store_without_fence() {
  store(Store::kNoFence);
}
void store_with_late_fence() {
  store(Store::kLateFence);
}
void store_not_waited() {
  store(Store::kNoWait);
}
void store_waited_by_other() {
  store(Store::kOtherWaits);
}
void store_forgotten() {
  store(Store::kForgotten);
}
void wgmma_without_fence() {
  product(Product::kNoFence);
}
void wgmma_not_waited() {
  product(Product::kNoWait);
}
void wgmma_forgotten() {
  product(Product::kForgotten);
}
void wgmma_without_proxy_fence() {
  product(Product::kNoProxyFence);
}
void wgmma_operand_overwritten() {
  product(Product::kOverwritten);
}
void wgmma_wrong_n() {
  product(Product::kWrongN);
}
void wgmma_past_shared() {
  product(Product::kPastShared);
}
void wgmma_in_branch() {
  product(Product::kInBranch);
}
void arrive_at_ended() {
  pair(Pair::kEnded);
}
void no_last_cluster_barrier() {
  pair(Pair::kNoLastBarrier);
}
void cluster_barrier_diverged() {
  pair(Pair::kDiverged);
}
void cluster_barrier_skipped() {
  pair(Pair::kSkipped);
}
void remote_race() {
  pair(Pair::kRace);
}

}  // namespace emu_test::bugs

namespace emu_test {

std::vector<std::pair<const char*, void (*)()>> correct_hopper_kernels() {
  using namespace bugs;
  return {{"TMA load", [] { load(Load::kCorrect); }},
          {"TMA store", [] { store(Store::kCorrect); }},
          {"wgmma", [] { product(Product::kCorrect); }},
          {"cluster", [] { pair(Pair::kCorrect); }}};
}

}  // namespace emu_test
