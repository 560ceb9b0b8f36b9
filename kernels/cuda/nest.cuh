// A LoopNest as kernels walk it: from the number of an element to its offset in every operand. Not
// part of the public interface.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "minidl/kernels/common/loop_nest.h"
#include "minidl/kernels/cuda/context.cuh"

namespace minidl::kernels::cuda {

/// Division of numbers below 2^31 by a constant that only the host knows, without a divide:
/// Granlund and Montgomery, Division by Invariant Integers using Multiplication (1994), section 4.
struct Divisor32 {
  std::uint32_t divisor = 1, magic = 1, shift = 0;

  Divisor32() = default;
  explicit Divisor32(std::uint32_t d) : divisor(d) {
    while ((std::uint64_t{1} << shift) < d) ++shift;
    magic = static_cast<std::uint32_t>((((std::uint64_t{1} << shift) - d) << 32) / d + 1);
  }
  __host__ __device__ std::uint32_t divide(std::uint32_t n) const {
    const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * magic) >> 32);
    return (high + n) >> shift;
  }
};

/// The same interface for numbers of any size, with a divide where one is beyond 2^31.
struct Divisor64 {
  std::uint64_t divisor = 1;
  Divisor32 small;

  Divisor64() = default;
  explicit Divisor64(std::uint64_t d)
      : divisor(d), small(d >> 31 == 0 ? Divisor32(static_cast<std::uint32_t>(d)) : Divisor32()) {}
  __host__ __device__ std::uint64_t divide(std::uint64_t n) const {
    if ((n | divisor) >> 31 != 0) return n / divisor;
    return small.divide(static_cast<std::uint32_t>(n));
  }
};

/// Index is std::uint32_t for up to 2^31 - 1 elements, std::uint64_t beyond.
template <int N, class Index>
struct DeviceNest {
  using Divisor = std::conditional_t<sizeof(Index) == 4, Divisor32, Divisor64>;

  int loops = 1;
  Divisor extents[kMaxDims];            ///< innermost first
  std::int64_t strides[N][kMaxDims]{};  ///< likewise

  explicit DeviceNest(const LoopNest<N>& nest) : loops(nest.extents.size()) {
    for (int i = 0; i < loops; ++i) {
      const int loop = loops - 1 - i;
      const std::int64_t extent = std::max<std::int64_t>(nest.extents[loop], 1);  // if nothing: any
      extents[i] = Divisor(static_cast<Index>(extent));
      for (int operand = 0; operand < N; ++operand) {
        strides[operand][i] = nest.strides[static_cast<std::size_t>(operand)][loop];
      }
    }
  }

  /// offsets[n] = where element number `element` of the walk lies in operand n.
  __host__ __device__ void locate(Index element, std::int64_t (&offsets)[N]) const {
    for (int n = 0; n < N; ++n) offsets[n] = 0;
    for (int i = 0; i < loops - 1; ++i) {
      const Index rest = extents[i].divide(element);
      const Index index = element - rest * static_cast<Index>(extents[i].divisor);
      for (int n = 0; n < N; ++n) offsets[n] += static_cast<std::int64_t>(index) * strides[n][i];
      element = rest;
    }
    for (int n = 0; n < N; ++n) {
      offsets[n] += static_cast<std::int64_t>(element) * strides[n][loops - 1];
    }
  }
};

/// Calls `f(DeviceNest)` with the index type that the nest's elements fit into.
template <int N, class F>
void visit_nest(const LoopNest<N>& nest, const F& f) {
  if (numel(nest.extents) <= std::numeric_limits<std::int32_t>::max()) {
    f(DeviceNest<N, std::uint32_t>(nest));
  } else {
    f(DeviceNest<N, std::uint64_t>(nest));
  }
}

/// A part of a walk: its loops, and where they start in each operand.
template <int N>
struct NestPiece {
  LoopNest<N> nest;
  std::array<std::int64_t, static_cast<std::size_t>(N)> starts{};
};

/// Calls `f(NestPiece)` with pieces of at most `most` elements that make up `piece`, for kernels
/// that count in 32 bits.
template <int N, class F>
void for_each_piece(NestPiece<N> piece, const F& f,
                    std::int64_t most = std::numeric_limits<std::int32_t>::max()) {
  Dims& extents = piece.nest.extents;
  if (numel(extents) <= most) return f(piece);
  int loop = 0;
  while (extents[loop] == 1) ++loop;
  const std::int64_t extent = extents[loop];
  constexpr std::int64_t kLongestVector = 16;  // the second half is aligned as the first is
  extents[loop] = extent / 2;
  if (extents[loop] > kLongestVector) extents[loop] -= extents[loop] % kLongestVector;
  for_each_piece(piece, f, most);
  for (std::size_t n = 0; n < N; ++n) {
    piece.starts[n] += extents[loop] * piece.nest.strides[n][loop];
  }
  extents[loop] = extent - extents[loop];
  for_each_piece(piece, f, most);
}

/// The first element of this thread in a loop with a grid stride, and the step.
template <class Index>
__device__ Index first_element() {
  return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
}
template <class Index>
__device__ Index element_step() {
  return static_cast<Index>(gridDim.x) * blockDim.x;
}

}  // namespace minidl::kernels::cuda
