#include "minidl/kernels/conv.h"

#include <algorithm>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/conv_f64.h"
#include "minidl/kernels/cpu/onednn.h"

namespace minidl::kernels::cpu {
namespace {

void check_params(const char* op, const Conv2dParams& params) {
  check(params.groups > 0, "{}: groups must be positive, got {}", op, params.groups);
  for (std::size_t i = 0; i < 2; ++i) {
    check(params.stride[i] > 0 && params.dilation[i] > 0 && params.padding[i] >= 0,
          "{}: stride and dilation must be positive and padding not negative, got {}, {}, {}", op,
          params.stride[i], params.dilation[i], params.padding[i]);
  }
}

void check_operands(const char* op, const Conv2dParams& params, const View& x, const View& weight,
                    const View& y) {
  check_params(op, params);
  check(x.dtype == weight.dtype && x.dtype == y.dtype,
        "{}: operands must be of one dtype, got {}, {} and {}", op, x.dtype, weight.dtype, y.dtype);
  const Shape& xs = x.shape;
  const Shape& ws = weight.shape;
  check(xs.size() == 4 && ws.size() == 4 && y.ndim() == 4,
        "{}: images and weights must be 4-D, got {}, {} and {}", op, xs, ws, y.shape);
  check(ws[0] % params.groups == 0 && ws[1] * params.groups == xs[1],
        "{}: images {} and weights {} do not fit {} groups", op, xs, ws, params.groups);
  Shape expected{xs[0], ws[0]};
  for (const int i : {2, 3}) {
    const auto d = static_cast<std::size_t>(i - 2);
    const std::int64_t reach = params.dilation[d] * (ws[i] - 1) + 1;
    const std::int64_t room = xs[i] + 2 * params.padding[d] - reach;
    check(ws[i] > 0 && room >= 0, "{}: the kernel of weights {} does not fit into images {}", op,
          ws, xs);
    expected.push_back(room / params.stride[d] + 1);
  }
  check(y.shape == expected, "{}: images {} and weights {} give {}, not {}", op, xs, ws, expected,
        y.shape);
}

void check_output(const char* op, const View& output) {
  check(is_channels_last(output.shape, output.strides),
        "{}: the result must be dense in NHWC order, got strides {} for {}", op, output.strides,
        output.shape);
}

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

}  // namespace

void conv2d_forward(ExecContext& ctx, const Conv2dParams& params, const View& x, const View& weight,
                    const View& bias, const View& y) {
  check_operands("conv2d", params, x, weight, y);
  check_output("conv2d", y);
  check(!bias.defined || (bias.shape == Shape{weight.size(0)} && bias.dtype == x.dtype),
        "conv2d: the bias must be {} of shape [{}], got {} of {}", x.dtype, weight.size(0),
        bias.dtype, bias.shape);
  if (y.numel() == 0) return;
  if (x.numel() == 0) return set_to_bias(ctx, bias, y);
  Buffer memory_x;
  Buffer memory_weight;
  Buffer memory_bias;
  const View x_nhwc = as_channels_last(ctx, x, memory_x);
  const View weight_ohwi = as_channels_last(ctx, weight, memory_weight);
  if (x.dtype == f32) {
    const View dense_bias = as_dense_vector(ctx, bias, memory_bias);
    return onednn::conv2d_forward(ctx, params, x_nhwc, weight_ohwi, dense_bias, y);
  }
  check(x.dtype == f64, "conv2d: dtype must be f32 or f64, got {}", x.dtype);
  set_to_bias(ctx, bias, y);
  conv2d_forward_f64(ctx, params, x_nhwc, weight_ohwi, y);
}

void conv2d_backward_input(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                           const View& weight, const View& dx) {
  constexpr const char* op = "conv2d backward (input)";
  check_operands(op, params, dx, weight, dy);
  check_output(op, dx);
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) return kernels::fill(ctx, dx, 0.0);
  Buffer memory_dy;
  Buffer memory_weight;
  const View dy_nhwc = as_channels_last(ctx, dy, memory_dy);
  const View weight_ohwi = as_channels_last(ctx, weight, memory_weight);
  if (dx.dtype == f32) {
    return onednn::conv2d_backward_input(ctx, params, dy_nhwc, weight_ohwi, dx);
  }
  check(dx.dtype == f64, "{}: dtype must be f32 or f64, got {}", op, dx.dtype);
  conv2d_backward_input_f64(ctx, params, dy_nhwc, weight_ohwi, dx);
}

void conv2d_backward_weight(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                            const View& x, const View& dweight) {
  constexpr const char* op = "conv2d backward (weight)";
  check_operands(op, params, x, dweight, dy);
  check_output(op, dweight);
  if (dweight.numel() == 0) return;
  if (dy.numel() == 0 || x.numel() == 0) return kernels::fill(ctx, dweight, 0.0);
  Buffer memory_dy;
  Buffer memory_x;
  const View dy_nhwc = as_channels_last(ctx, dy, memory_dy);
  const View x_nhwc = as_channels_last(ctx, x, memory_x);
  if (x.dtype == f32) return onednn::conv2d_backward_weight(ctx, params, dy_nhwc, x_nhwc, dweight);
  check(x.dtype == f64, "{}: dtype must be f32 or f64, got {}", op, x.dtype);
  kernels::fill(ctx, dweight, 0.0);
  conv2d_backward_weight_f64(ctx, params, dy_nhwc, x_nhwc, dweight);
}

}  // namespace minidl::kernels::cpu
