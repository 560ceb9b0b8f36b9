#include "minidl/nn/modules/conv.h"

#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"

namespace minidl::nn {

Conv2d::Conv2d(const Conv2dOptions& options)
    : params_{.stride = options.stride,
              .padding = options.padding,
              .dilation = options.dilation,
              .groups = options.groups} {
  check(options.in > 0 && options.out > 0 && options.kernel.height > 0 && options.kernel.width > 0,
        "Conv2d: in ({}), out ({}) and kernel ({}x{}) must be positive", options.in, options.out,
        options.kernel.height, options.kernel.width);
  check(options.groups > 0 && options.in % options.groups == 0 && options.out % options.groups == 0,
        "Conv2d: {} groups do not divide {} input and {} output channels", options.groups,
        options.in, options.out);
  const Shape shape{options.out, options.in / options.groups, options.kernel.height,
                    options.kernel.width};
  weight = register_parameter("weight", empty_strided(shape, channels_last_strides(shape)));
  init::kaiming_uniform_(weight, std::sqrt(5));
  if (!options.bias) return;
  bias = register_parameter("bias", empty({options.out}));
  const double bound = 1 / std::sqrt(static_cast<double>(init::fans(weight).in));
  const NoGradGuard no_grad;
  bias.uniform_(-bound, bound);
}

Conv2d::Conv2d(ModuleBase& parent, std::string_view name, const Conv2dOptions& options)
    : Conv2d(options) {
  parent.register_module(name, *this);
}

Tensor Conv2d::forward(const Tensor& x) {
  return conv2d(x, weight, bias, params_);
}

}  // namespace minidl::nn
