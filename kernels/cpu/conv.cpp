#include "minidl/kernels/conv.h"

#include <algorithm>

#include "minidl/kernels/conv_check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/conv_f64.h"
#include "minidl/kernels/cpu/onednn.h"

namespace minidl::kernels::cpu {
namespace {

/// `view`, or a copy of it, dense in NHWC order, that lives in `memory`.
View as_channels_last(ExecContext& ctx, const View& view, Buffer& memory) {
  View result = view;
  result.strides = channels_last_strides(view.shape);
  if (is_channels_last(view.shape, view.strides)) return result;
  memory = ctx.workspace(static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  result.data = memory.data();
  kernels::copy(ctx, view, result);
  return result;
}

View as_dense_vector(ExecContext& ctx, const View& view, Buffer& memory) {
  if (!view.defined || view.is_contiguous()) return view;
  memory = ctx.workspace(static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  View result = view;
  result.data = memory.data();
  result.strides = {1};
  kernels::copy(ctx, view, result);
  return result;
}

/// y = the channel's bias in every pixel, or zeros.
void set_to_bias(ExecContext& ctx, const View& bias, const View& y) {
  if (!bias.defined) return kernels::fill(ctx, y, 0.0);
  View stretched = bias;
  stretched.shape = y.shape;
  stretched.strides = {0, bias.strides[0], 0, 0};
  kernels::copy(ctx, stretched, y);
}

/// Whether the call must go through f32 copies.
bool wants_widening(const View& view) {
  return is_16_bit(view.dtype) && !onednn::computes(view.dtype);
}

}  // namespace

void conv2d_forward(ExecContext& ctx, const Conv2dParams& params, const View& x, const View& weight,
                    const View& bias, const View& y) {
  check_conv2d_forward(params, x, weight, bias, y);
  if (y.numel() == 0) return;
  if (x.numel() == 0) return set_to_bias(ctx, bias, y);
  if (wants_widening(x)) {
    return call_widened(conv2d_forward, writes_last(1), ctx, params, x, weight, bias, y);
  }
  Buffer memory_x;
  Buffer memory_weight;
  Buffer memory_bias;
  const View x_nhwc = as_channels_last(ctx, x, memory_x);
  const View weight_ohwi = as_channels_last(ctx, weight, memory_weight);
  if (x.dtype != f64) {
    const View dense_bias = as_dense_vector(ctx, bias, memory_bias);
    return onednn::conv2d_forward(ctx, params, x_nhwc, weight_ohwi, dense_bias, y);
  }
  set_to_bias(ctx, bias, y);
  conv2d_forward_f64(ctx, params, x_nhwc, weight_ohwi, y);
}

void conv2d_backward_input(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                           const View& weight, const View& dx) {
  check_conv2d_backward_input(params, dy, weight, dx);
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) return kernels::fill(ctx, dx, 0.0);
  if (wants_widening(dx)) {
    return call_widened(conv2d_backward_input, writes_last(1), ctx, params, dy, weight, dx);
  }
  Buffer memory_dy;
  Buffer memory_weight;
  const View dy_nhwc = as_channels_last(ctx, dy, memory_dy);
  const View weight_ohwi = as_channels_last(ctx, weight, memory_weight);
  if (dx.dtype != f64) {
    return onednn::conv2d_backward_input(ctx, params, dy_nhwc, weight_ohwi, dx);
  }
  conv2d_backward_input_f64(ctx, params, dy_nhwc, weight_ohwi, dx);
}

void conv2d_backward_weight(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                            const View& x, const View& dweight) {
  check_conv2d_backward_weight(params, dy, x, dweight);
  if (dweight.numel() == 0) return;
  if (dy.numel() == 0 || x.numel() == 0) return kernels::fill(ctx, dweight, 0.0);
  // oneDNN 2.6's bf16 gradient of the weights is wrong where a stride is longer than the image.
  const bool stride_leaves_image = x.dtype == bf16 && params.stride[1] > x.size(3);
  if (wants_widening(x) || stride_leaves_image) {
    return call_widened(conv2d_backward_weight, writes_last(1), ctx, params, dy, x, dweight);
  }
  Buffer memory_dy;
  Buffer memory_x;
  const View dy_nhwc = as_channels_last(ctx, dy, memory_dy);
  const View x_nhwc = as_channels_last(ctx, x, memory_x);
  if (x.dtype != f64) return onednn::conv2d_backward_weight(ctx, params, dy_nhwc, x_nhwc, dweight);
  kernels::fill(ctx, dweight, 0.0);
  conv2d_backward_weight_f64(ctx, params, dy_nhwc, x_nhwc, dweight);
}

}  // namespace minidl::kernels::cpu
