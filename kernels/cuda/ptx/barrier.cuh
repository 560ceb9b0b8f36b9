// The block's sixteen barriers, for parts of a block. Barrier 0 is __syncthreads().
#pragma once

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// Waits until `threads` threads (a multiple of 32) have come to barrier `id`, by either function.
MINIDL_DEVICE void barrier_sync(std::uint32_t id, std::uint32_t threads) {
  MINIDL_PTX_75(emu::barrier_sync(id, threads), "bar.sync %0, %1;" ::"r"(id), "r"(threads)
                : "memory");
}

/// Counts the warp in without waiting.
MINIDL_DEVICE void barrier_arrive(std::uint32_t id, std::uint32_t threads) {
  MINIDL_PTX_75(emu::barrier_arrive(id, threads), "bar.arrive %0, %1;" ::"r"(id), "r"(threads)
                : "memory");
}

}  // namespace minidl::kernels::cuda::ptx
