#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< L2 penalty: weight_decay * parameter joins the gradient
  bool nesterov = false;    ///< needs momentum and no dampening
};

struct SGDState {
  Tensor velocity;  ///< undefined before the first step, and without momentum
};

/// Stochastic gradient descent with momentum in PyTorch's form:
/// v = momentum v + (1 - dampening) g, p -= lr v, or lr (g + momentum v) with Nesterov's; the first
/// v is g.
class SGD final : public GroupedOptimizer<SGDOptions, SGDState> {
 public:
  SGD(const Tensors& parameters, const SGDOptions& options);
  /// Parameters with options of their own.
  void add_group(const Tensors& parameters, const SGDOptions& options);

  void step() override;
};

}  // namespace minidl::optim
