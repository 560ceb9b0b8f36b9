// Clusters: ranks, each other's memory, remote arrivals, multicast.
#include "device.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

// Each block reads from the next, writes to it and arrives at every block's barrier.
__global__ void neighbours(std::uint32_t* out, std::uint32_t size) {
  MINIDL_SHARED(std::uint32_t, mail, [2]);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t rank = cluster_rank(), t = threadIdx.x, barrier = shared_address(object);
  if (t == 0) {
    mbarrier_init(barrier, size);
    fence_mbarrier_init();
    mail[0] = 1000 * blockIdx.x;
  }
  __syncwarp();
  cluster_sync();
  const std::uint32_t next = (rank + 1) % size;
  if (t == 0) {
    out[4 * blockIdx.x] = load_cluster(cluster_address(shared_address(mail), next));
    store_cluster(cluster_address(shared_address(mail + 1), next), rank);
  }
  __syncwarp();  // the other lanes' arrivals announce lane 0's store
  if (t < size) mbarrier_arrive_cluster(cluster_address(barrier, t));
  mbarrier_wait(barrier, 0);
  if (t == 0) {
    out[4 * blockIdx.x + 1] = rank;
    out[4 * blockIdx.x + 2] = mail[1];
    out[4 * blockIdx.x + 3] = mbarrier_test(barrier, 0);
  }
  __syncwarp();
  cluster_sync();
}

constexpr std::uint32_t kPart = 4096;  // a box of 32 rows of 128 bytes

// In a cluster of two: each block sends its half to both; or block 0 to block 1 only.
__global__ void multicast(const __grid_constant__ CUtensorMap map, bool both, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object), rank = cluster_rank();
  constexpr std::uint32_t kWords = 2 * kPart / 4;
  for (std::uint32_t i = threadIdx.x; i < kWords; i += blockDim.x) s[i] = 0xa5a5a5a5;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
  }
  fence_proxy_async();
  __syncthreads();
  cluster_sync();
  if (threadIdx.x == 0) {
    if (both) {
      mbarrier_arrive_expect(barrier, 2 * kPart);
      tma_load_multicast(shared_address(s) + rank * kPart, &map, barrier,
                         {8, static_cast<std::int32_t>(rank) * 32 - 3}, 3);
    } else if (rank == 1) {
      mbarrier_arrive_expect(barrier, kPart);
    } else {
      mbarrier_arrive(barrier);
      tma_load_multicast(shared_address(s) + kPart, &map, barrier, {0, 5}, 2);
    }
  }
  mbarrier_wait(barrier, 0);
  for (std::uint32_t i = threadIdx.x; i < kWords; i += blockDim.x) out[rank * kWords + i] = s[i];
  __syncthreads();
  cluster_sync();
}

}  // namespace

void add_clusters(Cases& cases) {
  for (const unsigned size : {2U, 4U, 8U}) {
    cases.push_back({"cluster of " + std::to_string(size) + ": memory, remote arrivals", 0, [size] {
                       const Buffer<std::uint32_t> out(8 * size);
                       launch(blocks("neighbours", 2 * size, 64, 0, size), neighbours, out.get(),
                              size);
                       return out.words();
                     }});
  }
  for (const bool both : {true, false}) {
    cases.push_back(
        {both ? "tma multicast to both of a cluster" : "tma multicast to the other", 0, [both] {
           const Buffer<std::uint32_t> in(noise(192 * 80 / 4, 13)), out(kPart);
           const CUtensorMap map = kernels::cuda::make_tensor_map(
               {"in", in.get(), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, {96, 80}, {192}, {64, 32}});
           launch(blocks("multicast", 2, 128, 2 * kPart, 2), multicast, map, both, out.get());
           return out.words();
         }});
  }
}

}  // namespace minidl::conformance
