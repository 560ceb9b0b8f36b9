// Images of another size.
#pragma once

#include <array>
#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

enum class InterpolateMode { nearest, bilinear };

/// Exactly one of size and scale_factor; both are {height, width}.
struct InterpolateOptions {
  std::optional<std::array<std::int64_t, 2>> size = {};
  std::optional<std::array<double, 2>> scale_factor = {};
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;  ///< bilinear: the corners' centres coincide, not their edges
};

/// x [N, C, H, W] -> [N, C, P, Q] with {P, Q} = size, or {H, W} * scale_factor rounded down, in the
/// layout of a dense x. Floating-point dtypes.
///
/// Output pixel o is at (o + 0.5) / scale - 0.5 of the input (inside it), or at o (H - 1) / (P - 1)
/// with align_corners, and mixes the pixels around; the nearest pixel is that at o / scale rounded
/// down. The scale is the scale_factor where there is one, else P / H: PyTorch's rules.
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

}  // namespace minidl
