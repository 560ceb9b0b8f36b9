// 16-byte accesses. Not part of the public interface.
#pragma once

#include <cstdint>

namespace minidl::kernels::cuda {

/// How many elements one access of 16 bytes moves.
template <class T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <class T>
struct alignas(16) Vector {
  T values[kVector<T>];
};

/// One access; `from` must be aligned to 16 bytes.
template <class T>
__device__ void load_vector(const T* from, T (&to)[kVector<T>]) {
  const auto vector = *reinterpret_cast<const Vector<T>*>(from);
#pragma unroll
  for (int k = 0; k < kVector<T>; ++k) to[k] = vector.values[k];
}

template <class T>
__device__ void store_vector(const T (&from)[kVector<T>], T* to) {
  Vector<T> vector;
#pragma unroll
  for (int k = 0; k < kVector<T>; ++k) vector.values[k] = from[k];
  *reinterpret_cast<Vector<T>*>(to) = vector;
}

inline bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

}  // namespace minidl::kernels::cuda
