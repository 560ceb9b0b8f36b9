#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;  ///< decoupled: parameters shrink by lr * weight_decay
};

struct LionState {
  Tensor exp_avg;  ///< undefined before the first step
};

/// Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms): every element moves by
/// lr, in the direction of sign(beta1 m + (1 - beta1) g); then m = beta2 m + (1 - beta2) g.
class Lion final : public GroupedOptimizer<LionOptions, LionState> {
 public:
  Lion(const Tensors& parameters, const LionOptions& options);
  /// Parameters with options of their own.
  void add_group(const Tensors& parameters, const LionOptions& options);

  void step() override;
};

}  // namespace minidl::optim
