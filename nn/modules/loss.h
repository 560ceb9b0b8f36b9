// The losses of core/ops/loss.h and the cross entropy as modules: forward(input, target).
#pragma once

#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

/// A module that keeps the options of its loss. Weights among them become buffers of those names,
/// as in PyTorch, so that they move and are saved with the module.
template <class Self, class Options>
class Loss : public Module<Self> {
 public:
  explicit Loss(const Options& options = {}) : options_(options) {
    if constexpr (requires { options_.weight; }) keep("weight", options_.weight);
    if constexpr (requires { options_.pos_weight; }) keep("pos_weight", options_.pos_weight);
  }
  Loss(ModuleBase& parent, std::string_view name, const Options& options = {}) : Loss(options) {
    parent.register_module(name, *this);
  }

 protected:
  const Options& options() const { return options_; }

 private:
  void keep(std::string_view name, Tensor& weight) {
    if (weight.defined()) weight = this->register_buffer(name, weight);
  }

  Options options_;
};

struct LossOptions {
  LossReduction reduction = LossReduction::mean;
};

/// minidl::mse_loss
class MSELoss : public Loss<MSELoss, LossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return mse_loss(input, target, options().reduction);
  }
};

/// minidl::l1_loss
class L1Loss : public Loss<L1Loss, LossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return l1_loss(input, target, options().reduction);
  }
};

struct SmoothL1LossOptions {
  LossReduction reduction = LossReduction::mean;
  double beta = 1;  ///< where the parabola ends
};

/// minidl::smooth_l1_loss
class SmoothL1Loss : public Loss<SmoothL1Loss, SmoothL1LossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return smooth_l1_loss(input, target, options().reduction, options().beta);
  }
};

struct HuberLossOptions {
  LossReduction reduction = LossReduction::mean;
  double delta = 1;  ///< where the parabola ends
};

/// minidl::huber_loss
class HuberLoss : public Loss<HuberLoss, HuberLossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return huber_loss(input, target, options().reduction, options().delta);
  }
};

struct BCELossOptions {
  Tensor weight = {};  ///< of the losses; broadcasts to their shape
  LossReduction reduction = LossReduction::mean;
};

/// minidl::binary_cross_entropy
class BCELoss : public Loss<BCELoss, BCELossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return binary_cross_entropy(input, target, options().weight, options().reduction);
  }
};

struct BCEWithLogitsLossOptions {
  Tensor weight = {};  ///< of the losses; broadcasts to their shape
  LossReduction reduction = LossReduction::mean;
  Tensor pos_weight = {};  ///< of the positives; broadcasts to the losses' shape
};

/// minidl::binary_cross_entropy_with_logits
class BCEWithLogitsLoss : public Loss<BCEWithLogitsLoss, BCEWithLogitsLossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return binary_cross_entropy_with_logits(input, target, options().weight, options().reduction,
                                            options().pos_weight);
  }
};

struct KLDivLossOptions {
  LossReduction reduction = LossReduction::mean;
  bool log_target = false;  ///< targets are log-probabilities, too
};

/// minidl::kl_div
class KLDivLoss : public Loss<KLDivLoss, KLDivLossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& input, const Tensor& target) {
    return kl_div(input, target, options().reduction, options().log_target);
  }
};

/// minidl::nll_loss
class NLLLoss : public Loss<NLLLoss, NllLossOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& log_probs, const Tensor& target) {
    return nll_loss(log_probs, target, options());
  }
};

/// minidl::cross_entropy
class CrossEntropyLoss : public Loss<CrossEntropyLoss, CrossEntropyOptions> {
 public:
  using Loss::Loss;
  Tensor forward(const Tensor& logits, const Tensor& target) {
    return cross_entropy(logits, target, options());
  }
};

}  // namespace minidl::nn
