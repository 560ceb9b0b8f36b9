#include "minidl/nn/modules/batch_norm.h"

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

BatchNorm::BatchNorm(const BatchNormOptions& options) : options_(options) {
  const Shape channel{options.features};
  check(options.features > 0, "BatchNorm: features must be positive, not {}", options.features);
  if (options.affine) {
    weight = register_parameter("weight", ones(channel));
    bias = register_parameter("bias", zeros(channel));
  }
  running_mean = register_buffer("running_mean", zeros(channel));
  running_var = register_buffer("running_var", ones(channel));
  num_batches_tracked = register_buffer("num_batches_tracked", zeros({}, {.dtype = i64}));
}

BatchNorm::BatchNorm(ModuleBase& parent, std::string_view name, const BatchNormOptions& options)
    : BatchNorm(options) {
  parent.register_module(name, *this);
}

Tensor BatchNorm::forward(const Tensor& x) {
  if (!training()) {
    return batch_norm_inference(x, running_mean, running_var, weight, bias, options_.eps);
  }
  const BatchNormResult result = batch_norm_training(x, weight, bias, options_.eps);
  if (x.numel() == 0) return result.y;
  const std::int64_t count = x.numel() / x.size(1);
  check(count > 1,
        "batch_norm: a batch of shape {} has one value per channel, which has no variance; use a "
        "larger batch",
        x.shape());
  if (x.is_fake() || autograd::is_recomputing()) return result.y;
  const NoGradGuard no_grad;
  const double keep = 1 - options_.momentum;
  const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
  running_mean.mul_(keep).add_(result.mean, options_.momentum);
  running_var.mul_(keep).add_(result.variance, options_.momentum * unbiased);
  num_batches_tracked.add_(ones({}, {.dtype = i64, .device = x.device()}));
  return result.y;
}

}  // namespace minidl::nn
