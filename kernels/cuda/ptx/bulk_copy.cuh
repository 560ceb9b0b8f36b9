// Bulk copies without a tensor map, compute capability 9.0: one thread copies neighbouring bytes.
// Addresses and sizes are multiples of 16.
#pragma once

#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace minidl::kernels::cuda::ptx {

/// Global to shared memory; the barrier gets the bytes.
MINIDL_DEVICE void bulk_load(std::uint32_t to, const void* from, std::uint32_t bytes,
                             std::uint32_t barrier) {
  MINIDL_PTX_90(emu::bulk_load(to, from, bytes, barrier),
                "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                "[%0], [%1], %2, [%3];" ::"r"(to),
                "l"(from), "r"(bytes), "r"(barrier)
                : "memory");
}

/// Shared to global memory. As of tma_store: fence_proxy_async() and a barrier before,
/// bulk_commit() and bulk_wait or bulk_wait_read after.
MINIDL_DEVICE void bulk_store(void* to, std::uint32_t from, std::uint32_t bytes) {
  MINIDL_PTX_90(emu::bulk_store(to, from, bytes),
                "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from),
                "r"(bytes)
                : "memory");
}

/// The own block's shared memory to another block's; `to` and `barrier`, which gets the bytes, are
/// cluster_address()es in that block. fence_proxy_async() and a barrier before; the source stays
/// untouched until somebody has waited at the barrier.
MINIDL_DEVICE void bulk_copy_cluster(std::uint32_t to, std::uint32_t from, std::uint32_t bytes,
                                     std::uint32_t barrier) {
  MINIDL_PTX_90(emu::bulk_copy_cluster(to, from, bytes, barrier),
                "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                "[%0], [%1], %2, [%3];" ::"r"(to),
                "r"(from), "r"(bytes), "r"(barrier)
                : "memory");
}

}  // namespace minidl::kernels::cuda::ptx
