// Images of another size by interpolation.
#pragma once

#include <array>

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

struct Upsample2dParams {
  bool bilinear = false;       ///< else the nearest pixel, the one at the rounded-down position
  bool align_corners = false;  ///< bilinear: the corners' centres coincide, not their edges
  /// Output pixels for each input pixel, {height, width}; 0 for the ratio of the extents.
  std::array<double, 2> scale{0, 0};
};

// Shapes: x and dx [N, C, H, W], y and dy [N, C, P, Q], with pixels wherever y has some. f32 and
// f64, any strides; NHWC is fastest. Every element of y and dx is written; the sums of backward run
// in the order of dy's pixels.

using Upsample2dForward = void(ExecContext&, const Upsample2dParams& params, const View& x,
                               const View& y);
using Upsample2dBackward = void(ExecContext&, const Upsample2dParams& params, const View& dy,
                                const View& dx);

namespace cpu {
Upsample2dForward upsample2d_forward;
Upsample2dBackward upsample2d_backward;
}  // namespace cpu

inline constexpr Entry<Upsample2dForward> upsample2d_forward{
    cpu::upsample2d_forward, only_on_cpu("interpolate"), writes_last(1)};
inline constexpr Entry<Upsample2dBackward> upsample2d_backward{
    cpu::upsample2d_backward, only_on_cpu("interpolate"), writes_last(1)};

}  // namespace minidl::kernels
