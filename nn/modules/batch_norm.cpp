#include "minidl/nn/modules/batch_norm.h"

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/grad_mode.h"
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
  const bool together = communicator_ != nullptr && communicator_->size() > 1 && !x.is_fake();
  const BatchNormResult batch =
      together ? sync_batch_norm_training(x, weight, bias, options_.eps, *communicator_)
               : batch_norm_training(x, weight, bias, options_.eps);
  check(batch.count != 1,
        "batch_norm: a batch of shape {}{} has one value per channel, which has no variance; use a "
        "larger batch",
        x.shape(), together ? ", together with those of the other ranks," : "");
  const bool is_seen_again = autograd::is_recomputing();
  if (batch.count > 0 && !x.is_fake() && !is_seen_again) update_running_statistics(batch);
  return batch.y;
}

void BatchNorm::update_running_statistics(const BatchNormResult& batch) {
  const NoGradGuard no_grad;
  const double keep = 1 - options_.momentum;
  const auto count = static_cast<double>(batch.count);
  const double unbiased = count / (count - 1);
  running_mean.mul_(keep).add_(batch.mean, options_.momentum);
  running_var.mul_(keep).add_(batch.variance, options_.momentum * unbiased);
  num_batches_tracked.add_(ones({}, {.dtype = i64, .device = num_batches_tracked.device()}));
}

void sync_batch_norm(ModuleBase& module, Communicator& communicator) {
  for (const auto& [path, child] : module.named_modules()) {
    if (auto* batch_norm = dynamic_cast<BatchNorm*>(child)) {
      batch_norm->set_communicator(&communicator);
    }
  }
}

}  // namespace minidl::nn
