#include "minidl/nn/modules/layer_norm.h"

#include <algorithm>

#include "minidl/core/ops/layer_norm.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {
namespace {

void check_extents(const char* module, const Shape& shape) {
  check(!shape.empty() && std::all_of(shape.begin(), shape.end(), [](auto n) { return n > 0; }),
        "{}: normalized_shape must name positive extents, not {}", module, shape);
}

}  // namespace

LayerNorm::LayerNorm(const LayerNormOptions& options) : options_(options) {
  const Shape& shape = options.normalized_shape;
  check_extents("LayerNorm", shape);
  if (!options.elementwise_affine) return;
  weight = register_parameter("weight", ones(shape));
  if (options.bias) bias = register_parameter("bias", zeros(shape));
}

LayerNorm::LayerNorm(ModuleBase& parent, std::string_view name, const LayerNormOptions& options)
    : LayerNorm(options) {
  parent.register_module(name, *this);
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, options_.normalized_shape, weight, bias, options_.eps);
}

RMSNorm::RMSNorm(const RMSNormOptions& options) : options_(options) {
  check_extents("RMSNorm", options.normalized_shape);
  if (!options.elementwise_affine) return;
  weight = register_parameter("weight", ones(options.normalized_shape));
}

RMSNorm::RMSNorm(ModuleBase& parent, std::string_view name, const RMSNormOptions& options)
    : RMSNorm(options) {
  parent.register_module(name, *this);
}

Tensor RMSNorm::forward(const Tensor& x) {
  return rms_norm(x, options_.normalized_shape, weight, options_.eps);
}

}  // namespace minidl::nn
