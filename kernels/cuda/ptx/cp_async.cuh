// cp.async, compute capability 8.0: copies from global to shared memory that do not pass through
// registers. A thread waits for its own; a barrier makes them visible to the others.
#pragma once

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// Copies Bytes (4, 8 or 16; both addresses aligned to it) to shared address `to`. Only
/// `source_bytes` of them are read, the rest becomes zero.
template <int Bytes>
MINIDL_DEVICE void cp_async(std::uint32_t to, const void* from, int source_bytes = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if constexpr (Bytes == 16) {
    MINIDL_PTX_80(emu::cp_async(to, from, Bytes, static_cast<unsigned>(source_bytes)),
                  "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                  "r"(source_bytes)
                  : "memory");
  } else {
    MINIDL_PTX_80(emu::cp_async(to, from, Bytes, static_cast<unsigned>(source_bytes)),
                  "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(Bytes),
                  "r"(source_bytes)
                  : "memory");
  }
}

/// Makes a group of the copies since the last commit; may be empty.
MINIDL_DEVICE void cp_async_commit() {
  MINIDL_PTX_80(emu::cp_async_commit(), "cp.async.commit_group;" ::: "memory");
}

/// Waits until at most N of the thread's latest groups are under way.
template <int N>
MINIDL_DEVICE void cp_async_wait() {
  MINIDL_PTX_80(emu::cp_async_wait(N), "cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/// Waits for all copies, committed or not.
MINIDL_DEVICE void cp_async_wait_all() {
  MINIDL_PTX_80(emu::cp_async_wait_all(), "cp.async.wait_all;" ::: "memory");
}

}  // namespace minidl::kernels::cuda::ptx
