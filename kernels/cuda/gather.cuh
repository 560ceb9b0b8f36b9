// For functors of elements.cuh that read elsewhere than at their own element, through offsets that
// Numbers::offsets() gives them. Not part of the public interface.
#pragma once

#include <cstdint>
#include <type_traits>

#include "minidl/kernels/cuda/elements.cuh"

namespace minidl::kernels::cuda {

template <int N>
using Offsets = Pack<std::int64_t, N>;

/// Whether the offsets are those of N neighbours, which one access may read.
template <int N>
__device__ bool next_to_each_other(const Offsets<N>& offsets) {
  return offsets.at[N - 1] == offsets.at[0] + N - 1;
}

/// N neighbouring elements, in one access if `aligned`.
template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const Pack<T, N>*>(from);
  Pack<T, N> values;
#pragma unroll
  for (int i = 0; i < N; ++i) values.at[i] = from[i];
  return values;
}

/// Whether the first element of `view` and steps along its dimensions begin..end-1 are aligned to
/// 16 bytes.
inline bool keeps_alignment(const View& view, int begin, int end) {
  constexpr std::size_t kBytes = 16;
  bool aligned = reinterpret_cast<std::uintptr_t>(view.data) % kBytes == 0;
  for (int dim = begin; dim < end; ++dim) {
    const auto step = static_cast<std::size_t>(view.strides[dim]) * size_of(view.dtype);
    aligned = aligned && (view.size(dim) == 1 || step % kBytes == 0);
  }
  return aligned;
}

/// Calls f(count, i) for the elements i, i + 1, ... i + count - 1 of a pack: all N of them if
/// `at_once`, else one by one.
template <int N, class F>
__device__ void by_neighbours(bool at_once, const F& f) {
  if (at_once) {
    f(std::integral_constant<int, N>{}, 0);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) f(std::integral_constant<int, 1>{}, i);
  }
}

}  // namespace minidl::kernels::cuda
