#include "minidl/nn/modules/group_norm.h"

#include "minidl/core/ops/group_norm.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

GroupNorm::GroupNorm(const GroupNormOptions& options) : options_(options) {
  check(options.channels > 0 && options.groups > 0 && options.channels % options.groups == 0,
        "GroupNorm: {} groups do not divide {} channels", options.groups, options.channels);
  if (!options.affine) return;
  weight = register_parameter("weight", ones({options.channels}));
  bias = register_parameter("bias", zeros({options.channels}));
}

GroupNorm::GroupNorm(ModuleBase& parent, std::string_view name, const GroupNormOptions& options)
    : GroupNorm(options) {
  parent.register_module(name, *this);
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, options_.groups, weight, bias, options_.eps);
}

InstanceNorm::InstanceNorm(const InstanceNormOptions& options) : options_(options) {
  check(options.features > 0, "InstanceNorm: features must be positive, not {}", options.features);
  if (!options.affine) return;
  weight = register_parameter("weight", ones({options.features}));
  bias = register_parameter("bias", zeros({options.features}));
}

InstanceNorm::InstanceNorm(ModuleBase& parent, std::string_view name,
                           const InstanceNormOptions& options)
    : InstanceNorm(options) {
  parent.register_module(name, *this);
}

Tensor InstanceNorm::forward(const Tensor& x) {
  check(x.dim() < 2 || x.size(1) == options_.features,
        "InstanceNorm: the input {} needs {} channels", x.shape(), options_.features);
  return instance_norm(x, weight, bias, options_.eps);
}

}  // namespace minidl::nn
