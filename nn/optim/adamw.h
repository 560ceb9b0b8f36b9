#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: parameters shrink by lr * weight_decay
};

struct AdamWState {
  Tensor exp_avg;
  Tensor exp_avg_sq;
  std::int64_t steps = 0;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), PyTorch's defaults.
class AdamW final : public GroupedOptimizer<AdamWOptions, AdamWState> {
 public:
  AdamW(const Tensors& parameters, const AdamWOptions& options);
  /// Parameters with options of their own.
  void add_group(const Tensors& parameters, const AdamWOptions& options);

  void step() override;
};

}  // namespace minidl::optim
