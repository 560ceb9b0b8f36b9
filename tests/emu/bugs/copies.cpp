// Mistakes with TMA im2col, TMA reductions and bulk copies without a tensor map. Kernels take their
// mistake as a parameter, so that the correct one is the same kernel with none.
#include <cmath>

#include "bugs.h"
#include "minidl/kernels/cuda/ptx/bulk_copy.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma_im2col.cuh"
#include "minidl/kernels/cuda/ptx/tma_reduce.cuh"
#include "tests/emu/support.h"

namespace emu_test::bugs {
namespace {

using namespace minidl::kernels::cuda::ptx;
using minidl::kernels::cuda::make_im2col_map;
using minidl::kernels::cuda::make_tensor_map;

// --- The middle tap of a 3 x 3 convolution of an image of 8 x 4 pixels, 4 floats each: the image

enum class Gather {
  kCorrect,
  kOffset,
  kOutsideBox,
  kTiledMap,
  kTiledLoad,
  kInsideOnly,
  kNoWait,
};

__global__ void gather_kernel(const __grid_constant__ CUtensorMap map, float* out, Gather bug) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object), to = shared_address(tile);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
    // Two tiles' worth of pixels, of which those behind the image are zero.
    mbarrier_arrive_expect(barrier, bug == Gather::kInsideOnly ? 512 : 1024);
    const std::int32_t w = bug == Gather::kOutsideBox ? 7 : -1;
    if (bug == Gather::kTiledLoad) {
      tma_load(to, &map, barrier, {0, -1, -1, 0});
    } else {
      const std::uint16_t offset = bug == Gather::kOffset ? 256 : 1;
      tma_load_im2col(to, &map, barrier, {0, w, -1, 0}, {offset, 1});
    }
  }
  __syncthreads();
  if (bug != Gather::kNoWait) mbarrier_wait(barrier, 0);
  for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) out[i] = tile[i];
  __syncthreads();
  if (bug == Gather::kNoWait) mbarrier_wait(barrier, 0);
}

void gather(Gather bug) {
  std::vector<float> in(128), out(256, NAN);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
  const auto type = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  launch(blocks("gather", 1, 64, 1024), gather_kernel,
         bug == Gather::kTiledMap
             ? make_tensor_map(
                   {"x", in.data(), type, 4, {4, 8, 4, 1}, {16, 128, 512}, {4, 8, 4, 2}, 0})
             : make_im2col_map({"x",
                                in.data(),
                                type,
                                4,
                                {4, 8, 4, 1},
                                {16, 128, 512},
                                {-1, -1},
                                {-1, -1},
                                {1, 1},
                                4,
                                64,
                                0}),
         out.data(), bug);
  in.resize(256);
  if (out != in) wrong_result();
}

// --- Two rounds of 32 x 32 floats are added to a tensor of ones, through the same shared memory

enum class Reduce {
  kCorrect,
  kNoFence,
  kNoWait,
  kForgotten,
  kType,
  kNegative,
  kMisaligned,
};

__global__ void reduce_kernel(const __grid_constant__ CUtensorMap map, Reduce bug) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  for (int round = 0; round < 2; ++round) {
    for (unsigned i = threadIdx.x; i < 1024; i += blockDim.x) {
      tile[i] = static_cast<float>(round + 1);
    }
    if (bug != Reduce::kNoFence) fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      const std::uint32_t from = shared_address(tile) + (bug == Reduce::kMisaligned ? 64 : 0);
      const std::int32_t column = bug == Reduce::kNegative ? -4 : 0;
      if (bug == Reduce::kType) {
        tma_reduce_max(&map, from, {column, 32 * round});
      } else {
        tma_reduce_add(&map, from, {column, 32 * round});
      }
      bulk_commit();
      if (bug != Reduce::kNoWait && bug != Reduce::kForgotten) bulk_wait_read<0>();
    }
    __syncthreads();
  }
  if (bug != Reduce::kForgotten && threadIdx.x == 0) bulk_wait<0>();
}

void reduce(Reduce bug) {
  std::vector<float> out(2048, 1);
  launch(blocks("reduce", 1, 64, 8192), reduce_kernel,
         make_tensor_map(
             {"out", out.data(), CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, {32, 64}, {128}, {32, 32}, 0}),
         bug);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] != static_cast<float>(2 + i / 1024)) wrong_result();
  }
}

// --- Each block of a cluster of two loads 1 KiB, increments it and sends it to the other, which
// stores it

enum class Copy {
  kCorrect,
  kOddSize,
  kMisaligned,
  kTooFew,
  kNotWaited,
  kStoreNoFence,
  kStoreForgotten,
  kSendNoFence,
  kSendOverwritten,
  kSendBarrier,
  kSendNotWaited,
};

constexpr std::uint32_t kBytes = 1024;

__global__ void copy_kernel(const std::uint32_t* in, std::uint32_t* out, Copy bug) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);  // what was loaded, what the other block sent
  MINIDL_SHARED(std::uint64_t, objects, [2]);
  const std::uint32_t rank = cluster_rank(), other = 1 - rank, at = shared_address(s);
  const std::uint32_t loaded = shared_address(objects), sent = loaded + 8, t = threadIdx.x;
  std::uint32_t *mine = s, *received = s + 256;
  if (t == 0) {
    mbarrier_init(loaded, 1);
    mbarrier_init(sent, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(loaded, bug == Copy::kTooFew ? kBytes - 16 : kBytes);
    mbarrier_arrive_expect(sent, kBytes);
  }
  __syncwarp();
  cluster_sync();
  if (t == 0) {
    bulk_load(at, in + 256 * rank + (bug == Copy::kMisaligned ? 1 : 0),
              bug == Copy::kOddSize ? kBytes - 4 : kBytes, loaded);
  }
  if (bug != Copy::kNotWaited) mbarrier_wait(loaded, 0);
  for (unsigned i = t; i < 256; i += 32) mine[i] += 1;
  if (bug == Copy::kNotWaited) mbarrier_wait(loaded, 0);
  if (bug != Copy::kSendNoFence) fence_proxy_async();
  __syncwarp();
  if (t == 0) {
    bulk_copy_cluster(cluster_address(at + kBytes, other), at, kBytes,
                      cluster_address(sent, bug == Copy::kSendBarrier ? rank : other));
  }
  __syncwarp();
  if (bug == Copy::kSendOverwritten) mine[t] = 0;
  if (bug != Copy::kSendNotWaited) mbarrier_wait(sent, 0);
  for (unsigned i = t; i < 256; i += 32) received[i] += 1;
  if (bug == Copy::kSendNotWaited) mbarrier_wait(sent, 0);
  if (bug != Copy::kStoreNoFence) fence_proxy_async();
  __syncwarp();
  if (t == 0) {
    bulk_store(out + 256 * rank, at + kBytes, kBytes);
    bulk_commit();
    if (bug != Copy::kStoreForgotten) bulk_wait<0>();
  }
  __syncwarp();
  cluster_sync();
}

void copy(Copy bug) {
  alignas(16) std::uint32_t in[512 + 4];
  std::vector<std::uint32_t> out(512);
  for (std::uint32_t i = 0; i < 516; ++i) in[i] = i;
  LaunchConfig config = blocks("copy", 2, 32, 2 * kBytes);
  config.cluster = dim3(2);
  launch(config, copy_kernel, &in[0], out.data(), bug);
  for (std::uint32_t i = 0; i < 512; ++i) {
    if (out[i] != (i + 256) % 512 + 2) wrong_result();
  }
}

}  // namespace

void im2col_offset() {
  gather(Gather::kOffset);
}
void im2col_outside_box() {
  gather(Gather::kOutsideBox);
}
void im2col_tiled_map() {
  gather(Gather::kTiledMap);
}
void im2col_tiled_load() {
  gather(Gather::kTiledLoad);
}
void im2col_expects_inside_only() {
  gather(Gather::kInsideOnly);
}
void im2col_not_waited() {
  gather(Gather::kNoWait);
}
void reduce_without_fence() {
  reduce(Reduce::kNoFence);
}
void reduce_not_waited() {
  reduce(Reduce::kNoWait);
}
void reduce_forgotten() {
  reduce(Reduce::kForgotten);
}
void reduce_type() {
  reduce(Reduce::kType);
}
void reduce_negative() {
  reduce(Reduce::kNegative);
}
void reduce_misaligned() {
  reduce(Reduce::kMisaligned);
}
void bulk_odd_size() {
  copy(Copy::kOddSize);
}
void bulk_misaligned() {
  copy(Copy::kMisaligned);
}
void bulk_expect_too_few() {
  copy(Copy::kTooFew);
}
void bulk_not_waited() {
  copy(Copy::kNotWaited);
}
void bulk_store_without_fence() {
  copy(Copy::kStoreNoFence);
}
void bulk_store_forgotten() {
  copy(Copy::kStoreForgotten);
}
void bulk_send_without_fence() {
  copy(Copy::kSendNoFence);
}
void bulk_send_overwritten() {
  copy(Copy::kSendOverwritten);
}
void bulk_send_barrier() {
  copy(Copy::kSendBarrier);
}
void bulk_send_not_waited() {
  copy(Copy::kSendNotWaited);
}

}  // namespace emu_test::bugs

namespace emu_test {

std::vector<std::pair<const char*, void (*)()>> correct_copy_kernels() {
  using namespace bugs;
  return {{"im2col", [] { gather(Gather::kCorrect); }},
          {"TMA reduction", [] { reduce(Reduce::kCorrect); }},
          {"bulk copies", [] { copy(Copy::kCorrect); }}};
}

}  // namespace emu_test
