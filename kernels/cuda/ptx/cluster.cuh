// Clusters: blocks that run at the same time and reach each other's shared memory. Compute
// capability 9.0. No block may end while others may still touch its shared memory: cluster_sync()
// comes last.
#pragma once

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// A barrier of all threads of the cluster, .aligned: __syncwarp() first after a branch or loop
/// that only some lanes took.
MINIDL_DEVICE void cluster_sync() {
  MINIDL_PTX_90(emu::cluster_sync(),
                "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::
                    : "memory");
}

/// This block's number within the cluster.
MINIDL_DEVICE std::uint32_t cluster_rank() {
#ifdef MINIDL_EMULATED
  return emu::cluster_rank();
#else
  std::uint32_t rank = 0;
  MINIDL_PTX_90(, "mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#endif
}

/// Where the variable at `address` of this block lies in block `rank` of the cluster.
MINIDL_DEVICE std::uint32_t cluster_address(std::uint32_t address, std::uint32_t rank) {
#ifdef MINIDL_EMULATED
  return emu::cluster_address(address, rank);
#else
  std::uint32_t result = 0;
  MINIDL_PTX_90(, "mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(result) : "r"(address), "r"(rank));
  return result;
#endif
}

/// Arrives at a barrier of any block, given by cluster_address().
MINIDL_DEVICE void mbarrier_arrive_cluster(std::uint32_t barrier) {
  MINIDL_PTX_90(emu::mbarrier_arrive(barrier),
                "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier)
                : "memory");
}

MINIDL_DEVICE std::uint32_t load_cluster(std::uint32_t address) {
  std::uint32_t value = 0;
  MINIDL_PTX_90(emu::load_shared_cluster(address, &value, 4), "ld.shared::cluster.u32 %0, [%1];"
                : "=r"(value)
                : "r"(address)
                : "memory");
  return value;
}

MINIDL_DEVICE void store_cluster(std::uint32_t address, std::uint32_t value) {
  MINIDL_PTX_90(emu::store_shared_cluster(address, &value, 4),
                "st.shared::cluster.u32 [%0], %1;" ::"r"(address), "r"(value)
                : "memory");
}

}  // namespace minidl::kernels::cuda::ptx
