// Kernels that fold along lines of any stride and write them: a team of threads per line. Not part
// of the public interface.
//
//     struct Op {  // a kernel's parameter
//       template <class Team>
//       __device__ void operator()(Team, const std::int64_t (&at)[N]) const;  // one line
//     };
//     run_lines<N>(ctx, "op", shape, dim, {out.strides, in.strides}, Op{...});
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "minidl/kernels/common/view.h"
#include "minidl/kernels/cuda/fold.cuh"
#include "minidl/kernels/cuda/nest.cuh"

namespace minidl::kernels::cuda {

inline constexpr int kLinesBlock = 256;

/// The threads of one line: a block, a warp, or one alone.
template <int kThreads>
struct Team {
  static_assert(kThreads == 1 || kThreads == 32 || kThreads == kLinesBlock);
  static constexpr int kKept = kThreads == 1 ? 1 : 8;  ///< elements in each thread's registers

  __device__ static int rank() { return static_cast<int>(threadIdx.x) % kThreads; }

  template <class T, class Join>
  __device__ static T fold(T value, const Join& join) {
    if constexpr (kThreads == 1) {
      return value;
    } else if constexpr (kThreads == 32) {
      return warp_fold(value, join);
    } else {
      return block_fold<kThreads>(value, join);
    }
  }

  /// Calls f(i, k) for this thread's elements i of 0..count-1. k is the register they are kept in,
  /// known at compile time, or -1 for those that are not.
  template <class F>
  __device__ static void walk(std::int64_t count, const F& f) {
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      if (k * kThreads >= count) break;
      const int i = k * kThreads + rank();
      if (i < count) f(std::int64_t{i}, k);
    }
    for (std::int64_t i = kKept * kThreads + rank(); i < count; i += kThreads) f(i, -1);
  }
};

/// A line of an operand.
template <class T>
struct Line {
  T* data;
  std::int64_t step;

  __device__ T& operator[](std::int64_t i) const { return data[i * step]; }
  __device__ Line at(std::int64_t offset) const { return {data + offset, step}; }
};

template <class T>
Line<T> line_of(const View& view, int dim) {
  return {view.ptr<T>(), view.strides[dim]};
}

/// Calls op<threads>(offsets of the line's operands) for every line.
template <int kThreads, int N, class Op>
__global__ void __launch_bounds__(kLinesBlock, 2)
    lines_kernel(DeviceNest<N, std::uint64_t> nest, std::uint64_t lines, Op op) {
  constexpr unsigned kLines = kLinesBlock / kThreads;
  const std::uint64_t step = std::uint64_t{gridDim.x} * kLines;
  for (std::uint64_t line = std::uint64_t{blockIdx.x} * kLines + threadIdx.x / kThreads;
       line < lines; line += step) {
    std::int64_t at[N];
    nest.locate(line, at);
    op(Team<kThreads>{}, at);
  }
}

/// A thread for lines so short that a warp would have too little to do, and where the neighbours of
/// an element belong to other lines, if there are enough of those. `step`: between the elements of
/// a line, `neighbour`: between the lines.
inline int choose_threads(std::int64_t lines, std::int64_t count, std::int64_t step,
                          std::int64_t neighbour) {
  constexpr std::int64_t kShort = 16;
  constexpr std::int64_t kManyLines = 4096;
  if (count <= kShort || (neighbour < step && lines >= kManyLines)) return 1;
  return count <= 32 * Team<32>::kKept ? 32 : kLinesBlock;
}

template <int N, class Op>
void launch_lines(const ExecContext& ctx, const char* name, const LoopNest<N>& nest,
                  std::int64_t count, std::int64_t step, const Op& op) {
  const std::int64_t lines = numel(nest.extents);
  const auto with_threads = [&](auto kernel, std::int64_t lines_per_block) {
    launch(linear_launch(ctx, name, ceil_div(lines, lines_per_block), kLinesBlock), kernel,
           DeviceNest<N, std::uint64_t>(nest), static_cast<std::uint64_t>(lines), op);
  };
  switch (choose_threads(lines, count, step, nest.inner_stride(1))) {
    case 1: return with_threads(lines_kernel<1, N, Op>, kLinesBlock);
    case 32: return with_threads(lines_kernel<32, N, Op>, kLinesBlock / 32);
    default: return with_threads(lines_kernel<kLinesBlock, N, Op>, 1);
  }
}

/// All lines along `dim`. Operand 0 is written, operand 1 read.
template <int N, class Op>
void run_lines(const ExecContext& ctx, const char* name, const Shape& shape, int dim,
               std::array<Strides, N> operands, const Op& op) {
  if (numel(shape) == 0) return;
  const std::int64_t step = operands[1][dim];
  Shape rest = shape;
  rest.erase(dim);
  for (Strides& strides : operands) strides.erase(dim);
  launch_lines(ctx, name, LoopNest<N>(rest, operands), shape[dim], step, op);
}

}  // namespace minidl::kernels::cuda
