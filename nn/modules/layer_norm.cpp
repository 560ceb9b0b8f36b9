#include "minidl/nn/modules/layer_norm.h"

#include <algorithm>

#include "minidl/core/ops/layer_norm.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

LayerNorm::LayerNorm(const LayerNormOptions& options) : options_(options) {
  const Shape& shape = options.normalized_shape;
  check(!shape.empty() && std::all_of(shape.begin(), shape.end(), [](auto n) { return n > 0; }),
        "LayerNorm: normalized_shape must name positive extents, not {}", shape);
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

}  // namespace minidl::nn
