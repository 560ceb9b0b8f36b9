// What every device asks of the operands of a convolution. Not part of the public interface.
#pragma once

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/conv.h"

namespace minidl::kernels {
namespace detail {

inline void check_conv2d_params(const char* op, const Conv2dParams& params) {
  check(params.groups > 0, "{}: groups must be positive, got {}", op, params.groups);
  for (std::size_t i = 0; i < 2; ++i) {
    check(params.stride[i] > 0 && params.dilation[i] > 0 && params.padding[i] >= 0,
          "{}: stride and dilation must be positive and padding not negative, got {}, {}, {}", op,
          params.stride[i], params.dilation[i], params.padding[i]);
  }
}

inline void check_conv2d_operands(const char* op, const Conv2dParams& params, const View& x,
                                  const View& weight, const View& y) {
  check_conv2d_params(op, params);
  check(x.dtype == weight.dtype && x.dtype == y.dtype,
        "{}: operands must be of one dtype, got {}, {} and {}", op, x.dtype, weight.dtype, y.dtype);
  check(is_floating_point(x.dtype), "{}: dtype must be a floating-point one, got {}", op, x.dtype);
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

inline void check_conv2d_output(const char* op, const View& output) {
  check(is_channels_last(output.shape, output.strides),
        "{}: the result must be dense in NHWC order, got strides {} for {}", op, output.strides,
        output.shape);
}

}  // namespace detail

// Throw Error, naming the pass, unless parameters, shapes, dtypes and layouts are those that
// kernels/conv.h promises.

inline void check_conv2d_forward(const Conv2dParams& params, const View& x, const View& weight,
                                 const View& bias, const View& y) {
  detail::check_conv2d_operands("conv2d", params, x, weight, y);
  detail::check_conv2d_output("conv2d", y);
  check(!bias.defined || (bias.shape == Shape{weight.size(0)} && bias.dtype == x.dtype),
        "conv2d: the bias must be {} of shape [{}], got {} of {}", x.dtype, weight.size(0),
        bias.dtype, bias.shape);
}

inline void check_conv2d_backward_input(const Conv2dParams& params, const View& dy,
                                        const View& weight, const View& dx) {
  constexpr const char* op = "conv2d backward (input)";
  detail::check_conv2d_operands(op, params, dx, weight, dy);
  detail::check_conv2d_output(op, dx);
}

inline void check_conv2d_backward_weight(const Conv2dParams& params, const View& dy, const View& x,
                                         const View& dweight) {
  constexpr const char* op = "conv2d backward (weight)";
  detail::check_conv2d_operands(op, params, x, dweight, dy);
  detail::check_conv2d_output(op, dweight);
}

}  // namespace minidl::kernels
