// The windows of a pooling, for the kernels of every device. Not part of the public interface.
#pragma once

#include <cstdint>

#include "minidl/kernels/common/pool_check.h"
#include "minidl/kernels/pool.h"

namespace minidl::kernels {

/// Input indices that feed one output index, and what their average is divided by.
struct Window {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t divisor;
};

/// The window of output `o`.
constexpr Window window_of(const PoolWindow& params, bool count_include_pad, std::int64_t o,
                           std::int64_t in, std::int64_t out) {
  const auto range = params.range(o, in, out);
  const std::int64_t begin = range[0];
  const std::int64_t end = range[1];
  if (params.adaptive || !count_include_pad) return {begin, end, end - begin};
  const std::int64_t start = o * params.stride - params.padding;
  const std::int64_t stop = start + params.size;
  const std::int64_t padded = in + params.padding;
  return {begin, end, (stop < padded ? stop : padded) - start};
}

/// Throws Error, naming `op`, unless each of the `out` windows holds some of the `in` pixels.
inline void check_windows(const char* op, const PoolWindow& params, std::int64_t in,
                          std::int64_t out) {
  for (std::int64_t o = 0; o < out; ++o) {
    const auto [begin, end] = params.range(o, in, out);
    check_pool_window(op, o, in, begin, end);
  }
}

}  // namespace minidl::kernels
