// Maximum and average over windows of an image.
#pragma once

#include <array>

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// Which input pixels feed an output pixel along one dimension.
struct PoolWindow {
  std::int64_t size = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  bool adaptive = false;  ///< windows split the input into as many nearly equal parts as outputs
  std::int64_t dilation = 1;  ///< from one pixel of a window to the next; of maxima only

  /// From the first to behind the last pixel.
  constexpr std::int64_t span() const { return (size - 1) * dilation + 1; }

  /// First and one-past-last input index of output `o`, clipped to the input. In between,
  /// `dilation` is the step.
  constexpr std::array<std::int64_t, 2> range(std::int64_t o, std::int64_t in,
                                              std::int64_t out) const {
    if (adaptive) return {o * in / out, ((o + 1) * in + out - 1) / out};
    const std::int64_t begin = o * stride - padding;
    const std::int64_t end = begin + span();
    const std::int64_t skipped = begin < 0 ? (dilation - 1 - begin) / dilation * dilation : 0;
    return {begin + skipped, end < in ? end : in};
  }
};

struct Pool2dParams {
  PoolWindow height;
  PoolWindow width;
  /// Average pooling: padded zeros count in the divisor (PyTorch's default). The part of a window
  /// that sticks out beyond the padding never counts.
  bool count_include_pad = true;
};

// Shapes: x [N, C, H, W], y and dy [N, C, P, Q], indices (i32) like y: the flat position h * W + w
// of each maximum, the first one in row-major order where several are equal; NaN wins. f32 and f64.
// x, y, dx and dy may have any strides; indices has y's. Every element of dx is written.

using MaxPool2dForward = void(ExecContext&, const Pool2dParams& params, const View& x,
                              const View& y, const View& indices);
using MaxPool2dBackward = void(ExecContext&, const Pool2dParams& params, const View& dy,
                               const View& indices, const View& dx);
using AvgPool2dForward = void(ExecContext&, const Pool2dParams& params, const View& x,
                              const View& y);
using AvgPool2dBackward = void(ExecContext&, const Pool2dParams& params, const View& dy,
                               const View& dx);

namespace cpu {
MaxPool2dForward max_pool2d_forward;
MaxPool2dBackward max_pool2d_backward;
AvgPool2dForward avg_pool2d_forward;
AvgPool2dBackward avg_pool2d_backward;
}  // namespace cpu

namespace cuda {
MaxPool2dForward max_pool2d_forward;
MaxPool2dBackward max_pool2d_backward;
AvgPool2dForward avg_pool2d_forward;
AvgPool2dBackward avg_pool2d_backward;
}  // namespace cuda

inline constexpr Entry<MaxPool2dForward> max_pool2d_forward{
    cpu::max_pool2d_forward, cuda::max_pool2d_forward, writes_last(2)};
inline constexpr Entry<MaxPool2dBackward> max_pool2d_backward{
    cpu::max_pool2d_backward, cuda::max_pool2d_backward, writes_last(1)};
inline constexpr Entry<AvgPool2dForward> avg_pool2d_forward{
    cpu::avg_pool2d_forward, cuda::avg_pool2d_forward, writes_last(1)};
inline constexpr Entry<AvgPool2dBackward> avg_pool2d_backward{
    cpu::avg_pool2d_backward, cuda::avg_pool2d_backward, writes_last(1)};

}  // namespace minidl::kernels
