#include "minidl/nn/modules/conv.h"

#include <cmath>

#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"

namespace minidl::nn {
namespace {

void check_channels(const char* module, std::int64_t in, std::int64_t out, std::int64_t groups) {
  check(groups > 0 && in % groups == 0 && out % groups == 0,
        "{}: {} groups do not divide {} input and {} output channels", module, groups, in, out);
}

/// A convolution's weight, channels last in memory, with its first values.
Tensor make_weight(const Shape& shape) {
  Strides strides = Dims::filled(shape.size(), 1);
  std::int64_t step = shape[1];
  for (int i = shape.size() - 1; i > 1; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  strides[0] = step;
  const Tensor weight = empty_strided(shape, strides);
  init::kaiming_uniform_(weight, std::sqrt(5));
  return weight;
}

Tensor make_bias(std::int64_t channels, const Tensor& weight) {
  const double bound = 1 / std::sqrt(static_cast<double>(init::fans(weight).in));
  return empty({channels}).uniform_(-bound, bound);
}

}  // namespace

Conv2d::Conv2d(const Conv2dOptions& options)
    : params_{.stride = options.stride,
              .padding = options.padding,
              .dilation = options.dilation,
              .groups = options.groups} {
  check(options.in > 0 && options.out > 0 && options.kernel.height > 0 && options.kernel.width > 0,
        "Conv2d: in ({}), out ({}) and kernel ({}x{}) must be positive", options.in, options.out,
        options.kernel.height, options.kernel.width);
  check_channels("Conv2d", options.in, options.out, options.groups);
  weight = register_parameter("weight", make_weight({options.out, options.in / options.groups,
                                                     options.kernel.height, options.kernel.width}));
  if (options.bias) bias = register_parameter("bias", make_bias(options.out, weight));
}

Conv2d::Conv2d(ModuleBase& parent, std::string_view name, const Conv2dOptions& options)
    : Conv2d(options) {
  parent.register_module(name, *this);
}

Tensor Conv2d::forward(const Tensor& x) {
  return conv2d(x, weight, bias, params_);
}

Conv1d::Conv1d(const Conv1dOptions& options)
    : params_{.stride = options.stride,
              .padding = options.padding,
              .dilation = options.dilation,
              .groups = options.groups} {
  check(options.in > 0 && options.out > 0 && options.kernel > 0,
        "Conv1d: in ({}), out ({}) and kernel ({}) must be positive", options.in, options.out,
        options.kernel);
  check_channels("Conv1d", options.in, options.out, options.groups);
  weight = register_parameter(
      "weight", make_weight({options.out, options.in / options.groups, options.kernel}));
  if (options.bias) bias = register_parameter("bias", make_bias(options.out, weight));
}

Conv1d::Conv1d(ModuleBase& parent, std::string_view name, const Conv1dOptions& options)
    : Conv1d(options) {
  parent.register_module(name, *this);
}

Tensor Conv1d::forward(const Tensor& x) {
  return conv1d(x, weight, bias, params_);
}

ConvTranspose2d::ConvTranspose2d(const ConvTranspose2dOptions& options)
    : params_{.stride = options.stride,
              .padding = options.padding,
              .output_padding = options.output_padding,
              .dilation = options.dilation,
              .groups = options.groups} {
  check(options.in > 0 && options.out > 0 && options.kernel.height > 0 && options.kernel.width > 0,
        "ConvTranspose2d: in ({}), out ({}) and kernel ({}x{}) must be positive", options.in,
        options.out, options.kernel.height, options.kernel.width);
  check_channels("ConvTranspose2d", options.in, options.out, options.groups);
  weight = register_parameter("weight", make_weight({options.in, options.out / options.groups,
                                                     options.kernel.height, options.kernel.width}));
  if (options.bias) bias = register_parameter("bias", make_bias(options.out, weight));
}

ConvTranspose2d::ConvTranspose2d(ModuleBase& parent, std::string_view name,
                                 const ConvTranspose2dOptions& options)
    : ConvTranspose2d(options) {
  parent.register_module(name, *this);
}

Tensor ConvTranspose2d::forward(const Tensor& x) {
  return conv_transpose2d(x, weight, bias, params_);
}

}  // namespace minidl::nn
