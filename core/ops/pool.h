// Pooling of images.
#pragma once

#include <array>

#include "minidl/core/tensor.h"

namespace minidl {

/// Windows as {height, width}. A stride of 0 means the window's size.
struct Pool2dOptions {
  std::array<std::int64_t, 2> kernel{2, 2};
  std::array<std::int64_t, 2> stride{0, 0};
  std::array<std::int64_t, 2> padding{0, 0};   ///< at most half the window
  std::array<std::int64_t, 2> dilation{1, 1};  ///< maxima only: from one pixel to the next
  bool ceil_mode = false;                      ///< keeps a last window that is not full
  bool count_include_pad = true;               ///< averages only: padded zeros count
};

// x [N, C, H, W] -> [N, C, P, Q], in the layout of a dense x. Any float. P = (H + 2 * padding -
// dilation * (kernel - 1) - 1) / stride + 1, rounded down, or up with ceil_mode as long as the last
// window starts inside the input or its left padding.

/// The largest element of each window; padding never wins. Equal elements: the first one gets the
/// gradient.
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options);
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options);

/// Splits the image into `output` = {height, width} nearly equal windows: output o covers the
/// inputs from floor(o * in / out) to ceil((o + 1) * in / out).
Tensor adaptive_max_pool2d(const Tensor& x, const std::array<std::int64_t, 2>& output);
Tensor adaptive_avg_pool2d(const Tensor& x, const std::array<std::int64_t, 2>& output);

}  // namespace minidl
