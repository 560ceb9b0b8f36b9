#pragma once

#include "minidl/nn/modules/conv.h"

namespace minidl::nn {

/// A stride of 0 means the kernel's size.
struct PoolOptions {
  Size2d kernel = 2;
  Size2d stride = 0;
  Size2d padding = 0;
  Size2d dilation = 1;  ///< MaxPool2d only
  bool ceil_mode = false;
  bool count_include_pad = true;  ///< AvgPool2d only
};

/// minidl::max_pool2d.
class MaxPool2d : public Module<MaxPool2d> {
 public:
  explicit MaxPool2d(const PoolOptions& options) : options_(options) {}
  MaxPool2d(ModuleBase& parent, std::string_view name, const PoolOptions& options);
  Tensor forward(const Tensor& x);

 private:
  PoolOptions options_;
};

/// minidl::avg_pool2d.
class AvgPool2d : public Module<AvgPool2d> {
 public:
  explicit AvgPool2d(const PoolOptions& options) : options_(options) {}
  AvgPool2d(ModuleBase& parent, std::string_view name, const PoolOptions& options);
  Tensor forward(const Tensor& x);

 private:
  PoolOptions options_;
};

/// minidl::adaptive_avg_pool2d to the given height and width.
class AdaptiveAvgPool2d : public Module<AdaptiveAvgPool2d> {
 public:
  explicit AdaptiveAvgPool2d(const Size2d& output) : output_(output) {}
  AdaptiveAvgPool2d(ModuleBase& parent, std::string_view name, const Size2d& output);
  Tensor forward(const Tensor& x);

 private:
  Size2d output_;
};

/// minidl::adaptive_max_pool2d to the given height and width.
class AdaptiveMaxPool2d : public Module<AdaptiveMaxPool2d> {
 public:
  explicit AdaptiveMaxPool2d(const Size2d& output) : output_(output) {}
  AdaptiveMaxPool2d(ModuleBase& parent, std::string_view name, const Size2d& output);
  Tensor forward(const Tensor& x);

 private:
  Size2d output_;
};

}  // namespace minidl::nn
