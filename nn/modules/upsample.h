#pragma once

#include "minidl/core/ops/upsample.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

/// minidl::interpolate with fixed options, PyTorch's Upsample.
class Upsample : public Module<Upsample> {
 public:
  explicit Upsample(const InterpolateOptions& options) : options_(options) {}
  Upsample(ModuleBase& parent, std::string_view name, const InterpolateOptions& options)
      : options_(options) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return interpolate(x, options_); }

 private:
  InterpolateOptions options_;
};

}  // namespace minidl::nn
