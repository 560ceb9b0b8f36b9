// From an ExecContext to a launch.
#pragma once

#include <algorithm>
#include <cstdint>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::kernels::cuda {

/// For the launch that follows: kernels go to the current device, which this makes current.
inline cudaStream_t stream_of(const ExecContext& ctx) {
  make_current(ctx.device.index);
  return static_cast<cudaStream_t>(ctx.stream.native());
}

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// The largest grid.
inline constexpr std::int64_t kMostBlocksX = 0x7fffffff, kMostBlocksY = 65535;

/// A launch of blocks along x, no more than `most`: for kernels whose loops have a grid stride. The
/// default is 16 blocks for each multiprocessor of an H200.
inline LaunchConfig linear_launch(const ExecContext& ctx, const char* name, std::int64_t blocks,
                                  int threads, std::int64_t most = 132 * 16) {
  LaunchConfig config{
      .name = name,
      .grid = dim3(static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, most))),
      .block = dim3(static_cast<unsigned>(threads)),
      .stream = stream_of(ctx)};
  return config;
}

}  // namespace minidl::kernels::cuda
