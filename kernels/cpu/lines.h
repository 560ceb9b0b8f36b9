// Walks operands of one shape by their lines along one dimension.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {

inline Dims without(Dims dims, int dim) {
  dims.erase(dim);
  return dims;
}

/// A nest over the first elements of the lines along `dim`.
template <int N>
LoopNest<N> line_starts(const Shape& shape, int dim, const std::array<Strides, N>& operands) {
  std::array<Strides, N> rest;
  std::transform(operands.begin(), operands.end(), rest.begin(),
                 [&](const Strides& strides) { return without(strides, dim); });
  return {without(shape, dim), rest};
}

/// Lines along `dim` that have `grain` elements together.
inline std::int64_t lines_of(std::int64_t grain, const Shape& shape, int dim) {
  return grain / std::max<std::int64_t>(shape[dim], 1);
}

/// Calls line(offsets) with each operand's first element of every line along `dim`; each thread
/// takes lines of at least `grain` elements together.
template <int N, class Line>
void for_each_line(const Shape& shape, int dim, const std::array<Strides, N>& operands,
                   const Line& line, std::int64_t grain = kGrainExp) {
  const LoopNest<N> nest = line_starts<N>(shape, dim, operands);
  for_each_row(nest, lines_of(grain, shape, dim), [&](auto at, std::int64_t count) {
    for (; count > 0; --count) {
      line(at);
      for (int i = 0; i < N; ++i) at[static_cast<std::size_t>(i)] += nest.inner_stride(i);
    }
  });
}

}  // namespace minidl::kernels::cpu
