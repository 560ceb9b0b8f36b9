// Two-dimensional convolution (cross-correlation, as in every framework).
#pragma once

#include <array>

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// Height first, then width.
struct Conv2dParams {
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};  ///< zeros on either side
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
};

// Shapes: x [N, C, H, W], weight [K, C / groups, R, S], bias [K], y [N, K, P, Q] with
// P = (H + 2 * padding - dilation * (R - 1) - 1) / stride + 1, and Q likewise. f32 and f64, all of
// one dtype. Outputs (y, dx, dweight) are dense in NHWC order (weights: OHWI); inputs may have any
// strides, those in that order are not copied. Every output element is written.

using Conv2dForward = void(ExecContext&, const Conv2dParams& params, const View& x,
                           const View& weight, const View& bias, const View& y);
using Conv2dBackwardInput = void(ExecContext&, const Conv2dParams& params, const View& dy,
                                 const View& weight, const View& dx);
using Conv2dBackwardWeight = void(ExecContext&, const Conv2dParams& params, const View& dy,
                                  const View& x, const View& dweight);

namespace cpu {
Conv2dForward conv2d_forward;
Conv2dBackwardInput conv2d_backward_input;
Conv2dBackwardWeight conv2d_backward_weight;
}  // namespace cpu

namespace cuda {
Conv2dForward conv2d_forward;
Conv2dBackwardInput conv2d_backward_input;
Conv2dBackwardWeight conv2d_backward_weight;
}  // namespace cuda

/// The CPU decides for itself: oneDNN convolves bf16 on processors with instructions for it.
inline constexpr Widening kConvWidening = writes_last(1).on_cuda_only();

inline constexpr Entry<Conv2dForward> conv2d_forward{cpu::conv2d_forward, cuda::conv2d_forward,
                                                     kConvWidening};
inline constexpr Entry<Conv2dBackwardInput> conv2d_backward_input{
    cpu::conv2d_backward_input, cuda::conv2d_backward_input, kConvWidening};
inline constexpr Entry<Conv2dBackwardWeight> conv2d_backward_weight{
    cpu::conv2d_backward_weight, cuda::conv2d_backward_weight, kConvWidening};

}  // namespace minidl::kernels
