// Runs a LoopNest on the CPU: rows of the innermost loop, shared out among the threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "minidl/kernels/common/loop_nest.h"
#include "minidl/kernels/common/parallel.h"

namespace minidl::kernels::cpu {

/// Elements that keep a thread busy long enough to be worth waking it: where memory is the limit,
/// and where every element takes an exp or the like.
inline constexpr std::int64_t kGrain = 32768;
inline constexpr std::int64_t kGrainExp = 4096;

/// Calls `row(offsets, count)` on stretches of the innermost loop that cover the elements
/// begin..end-1 of the nest in order; `offsets` holds each operand's first element.
template <int N, class Row>
void walk_rows(const LoopNest<N>& nest, std::int64_t begin, std::int64_t end, const Row& row) {
  if (begin >= end) return;
  const int inner = nest.extents.size() - 1;
  Dims index = Dims::filled(inner + 1, 0);
  std::array<std::int64_t, N> offsets{};
  const auto advance = [&](int loop, std::int64_t steps) {
    index[loop] += steps;
    for (std::size_t i = 0; i < N; ++i) offsets[i] += steps * nest.strides[i][loop];
  };
  std::int64_t rest = begin;
  for (int loop = inner; loop >= 0 && rest > 0; --loop) {
    advance(loop, rest % nest.extents[loop]);
    rest /= nest.extents[loop];
  }
  for (std::int64_t at = begin;;) {
    const std::int64_t count = std::min(nest.extents[inner] - index[inner], end - at);
    row(offsets, count);
    at += count;
    if (at == end) return;
    advance(inner, -index[inner]);
    int loop = inner - 1;
    for (; index[loop] + 1 == nest.extents[loop]; --loop) advance(loop, -index[loop]);
    advance(loop, 1);
  }
}

/// walk_rows over the whole nest by all threads; each takes at least `grain` elements.
template <int N, class Row>
void for_each_row(const LoopNest<N>& nest, std::int64_t grain, const Row& row) {
  parallel_for(numel(nest.extents), grain,
               [&](std::int64_t begin, std::int64_t end) { walk_rows(nest, begin, end, row); });
}

}  // namespace minidl::kernels::cpu
