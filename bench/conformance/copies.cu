// cp.async with its groups, mbarriers with their phases.
#include "device.cuh"
#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

// Four groups of copies; the last one reads only part of its source. All: waits for everything at
// once.
template <int Bytes, bool All>
__global__ void copies(const unsigned char* in, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  const unsigned t = threadIdx.x;
  for (unsigned i = t; i < 512; i += 32) s[i] = 0xa5a5a5a5;
  __syncwarp();
  for (unsigned g = 0; g < 4; ++g) {
    const unsigned at = (g * 32 + t) * 16;
    cp_async<Bytes>(shared_address(s) + at, in + at,
                    g == 3 ? static_cast<int>(t % (Bytes + 1)) : Bytes);
    if constexpr (!All) cp_async_commit();
  }
  const auto give = [&](unsigned g) {
    for (unsigned i = 0; i < 4; ++i) out[(g * 32 + t) * 4 + i] = s[(g * 32 + t) * 4 + i];
  };
  if constexpr (All) {
    cp_async_wait_all();
  } else {
    cp_async_wait<2>();
  }
  give(0);
  give(1);
  if constexpr (!All) cp_async_wait<0>();
  give(2);
  give(3);
}

template <int Bytes, bool All>
void add_copies_of(Cases& cases) {
  cases.push_back(
      {"cp.async " + std::to_string(Bytes) + (All ? " bytes, wait_all" : " bytes"), 0, [] {
         const Buffer<std::uint32_t> in(noise(512, 7)), out(512);
         launch(blocks("cp.async", 1, 32, 2048), copies<Bytes, All>,
                reinterpret_cast<const unsigned char*>(in.get()), out.get());
         return out.words();
       }});
}

// What both parities see of a barrier through its life.
__global__ void phases(const __grid_constant__ CUtensorMap map, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  MINIDL_SHARED(std::uint64_t, objects, [2]);
  const std::uint32_t two = shared_address(objects), one = two + 8;
  if (threadIdx.x == 0) {
    const auto see = [&](std::uint32_t barrier) {
      *out++ = mbarrier_test(barrier, 0);
      *out++ = mbarrier_test(barrier, 1);
    };
    *out++ = shared_address(s) % 1024;
    mbarrier_init(two, 2);
    mbarrier_init(one, 1);
    fence_mbarrier_init();
    see(two);
    see(one);
    mbarrier_arrive(two);  // the first phase: parity 0 completes
    see(two);
    mbarrier_arrive(two);
    see(two);
    mbarrier_wait(two, 0);
    mbarrier_arrive(two);  // the second: parity 1
    mbarrier_arrive(two);
    see(two);
    mbarrier_wait(two, 1);
    for (std::uint32_t i = 0; i < 5; ++i) {
      mbarrier_arrive(one);
      see(one);
      mbarrier_wait(one, i & 1);
    }
    mbarrier_arrive_expect(two, 1024);  // no arrival will be missing, bytes are
    see(two);
    mbarrier_arrive(two);
    see(two);
    tma_load(shared_address(s), &map, two, {0, 0});
    mbarrier_wait(two, 0);
    see(two);
    *out++ = s[255];
    mbarrier_invalidate(one);
    mbarrier_init(one, 1);
    see(one);
    mbarrier_arrive(one);
    see(one);
  }
}

// Warp 0 hands five rounds of data to warp 1 through a full and an empty barrier.
__global__ void pipeline(std::uint32_t* out) {
  MINIDL_SHARED(std::uint64_t, objects, [2]);
  MINIDL_SHARED(std::uint32_t, s, [32]);
  const std::uint32_t full = shared_address(objects), empty = full + 8, t = threadIdx.x;
  if (t == 0) {
    mbarrier_init(full, 32);
    mbarrier_init(empty, 32);
    fence_mbarrier_init();
  }
  __syncthreads();
  for (std::uint32_t round = 0; round < 5; ++round) {
    if (t < 32) {
      mbarrier_wait(empty, ~round & 1);
      s[t] = t * 10 + round;
      mbarrier_arrive(full);
    } else {
      mbarrier_wait(full, round & 1);
      out[round * 32 + t - 32] = s[63 - t];
      mbarrier_arrive(empty);
    }
  }
}

}  // namespace

void add_copies(Cases& cases) {
  add_copies_of<4, false>(cases);
  add_copies_of<8, false>(cases);
  add_copies_of<16, false>(cases);
  add_copies_of<16, true>(cases);
  cases.push_back(
      {"mbarrier phases, parity, expect_tx", 0, [] {
         const Buffer<std::uint32_t> in(noise(256, 9)), out(64, 0);
         const CUtensorMap map = kernels::cuda::make_tensor_map(
             {"in", in.get(), CU_TENSOR_MAP_DATA_TYPE_UINT32, 4, {32, 8}, {128}, {32, 8}, 0});
         launch(blocks("mbarrier", 1, 32, 1024), phases, map, out.get());
         return out.words();
       }});
  cases.push_back({"mbarrier producer and consumer", 0, [] {
                     const Buffer<std::uint32_t> out(160);
                     launch(blocks("pipeline", 1, 64), pipeline, out.get());
                     return out.words();
                   }});
}

}  // namespace minidl::conformance
