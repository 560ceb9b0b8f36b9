// Folding values across the threads of a warp and of a block, in an order that never changes. Not
// part of the public interface.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::kernels::cuda {

/// Shuffles a value of any trivially copyable type, four bytes at a time.
template <class T>
__device__ T shuffle_xor(const T& value, int mask) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);
  std::uint32_t words[sizeof(T) / 4];
  memcpy(words, &value, sizeof(T));
#pragma unroll
  for (std::uint32_t& word : words) word = __shfl_xor_sync(0xffffffffu, word, mask);
  T result;
  memcpy(&result, words, sizeof(T));
  return result;
}

/// Every lane gets join(join(...), ...) of all 32 values. `join` must be commutative: both partners
/// of a step compute it, each with its own value on the left. All lanes of the warp take part.
template <class T, class Join>
__device__ T warp_fold(T value, const Join& join) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) value = join(value, shuffle_xor(value, mask));
  return value;
}

/// Every thread of a block of kThreads threads along x gets the fold of all their values. All of
/// them take part. kThreads is a multiple of 32, at most 1024. Two barriers.
template <int kThreads, class T, class Join>
__device__ T block_fold(T value, const Join& join) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / 32;
  value = warp_fold(value, join);
  if constexpr (kWarps > 1) {
    MINIDL_SHARED(T, parts, [kWarps]);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[0];
    for (int warp = 1; warp < kWarps; ++warp) value = join(value, parts[warp]);
    __syncthreads();  // before somebody writes the parts of the next fold
  }
  return value;
}

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

}  // namespace minidl::kernels::cuda
