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

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), PyTorch's defaults.
class AdamW final : public Optimizer {
 public:
  AdamW(const Tensors& parameters, const AdamWOptions& options);
  /// Parameters with options of their own.
  void add_group(const Tensors& parameters, const AdamWOptions& options);

  void step() override;
  double lr() const override { return groups_.front().options.lr * lr_factor_; }
  void set_lr_factor(double factor) override { lr_factor_ = factor; }

 private:
  struct Slot {
    Tensor parameter;
    Tensor exp_avg;
    Tensor exp_avg_sq;
    std::int64_t steps = 0;
  };
  struct Group {
    AdamWOptions options;
    std::vector<Slot> slots;
  };
  std::vector<Group> groups_;
  double lr_factor_ = 1;
};

}  // namespace minidl::optim
