#include "minidl/nn/modules/pool.h"

#include "minidl/core/ops/pool.h"

namespace minidl::nn {
namespace {

Pool2dOptions op_options(const PoolOptions& options) {
  return {.kernel = options.kernel,
          .stride = options.stride,
          .padding = options.padding,
          .dilation = options.dilation,
          .ceil_mode = options.ceil_mode,
          .count_include_pad = options.count_include_pad};
}

}  // namespace

MaxPool2d::MaxPool2d(ModuleBase& parent, std::string_view name, const PoolOptions& options)
    : MaxPool2d(options) {
  parent.register_module(name, *this);
}

Tensor MaxPool2d::forward(const Tensor& x) {
  return max_pool2d(x, op_options(options_));
}

AvgPool2d::AvgPool2d(ModuleBase& parent, std::string_view name, const PoolOptions& options)
    : AvgPool2d(options) {
  parent.register_module(name, *this);
}

Tensor AvgPool2d::forward(const Tensor& x) {
  return avg_pool2d(x, op_options(options_));
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(ModuleBase& parent, std::string_view name,
                                     const Size2d& output)
    : AdaptiveAvgPool2d(output) {
  parent.register_module(name, *this);
}

Tensor AdaptiveAvgPool2d::forward(const Tensor& x) {
  return adaptive_avg_pool2d(x, output_);
}

AdaptiveMaxPool2d::AdaptiveMaxPool2d(ModuleBase& parent, std::string_view name,
                                     const Size2d& output)
    : AdaptiveMaxPool2d(output) {
  parent.register_module(name, *this);
}

Tensor AdaptiveMaxPool2d::forward(const Tensor& x) {
  return adaptive_max_pool2d(x, output_);
}

}  // namespace minidl::nn
