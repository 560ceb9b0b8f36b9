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

namespace detail {

template <>
inline constexpr auto kFields<SGDOptions> = std::tuple(
    Field{"lr", &SGDOptions::lr}, Field{"momentum", &SGDOptions::momentum},
    Field{"dampening", &SGDOptions::dampening}, Field{"weight_decay", &SGDOptions::weight_decay},
    Field{"nesterov", &SGDOptions::nesterov});
template <>
inline constexpr auto kFields<SGDState> = std::tuple(Field{"momentum_buffer", &SGDState::velocity});

}  // namespace detail

/// Stochastic gradient descent with momentum in PyTorch's form:
/// v = momentum v + (1 - dampening) g, p -= lr v, or lr (g + momentum v) with Nesterov's; the first
/// v is g.
class SGD final : public GroupedOptimizer<SGDOptions, SGDState> {
 public:
  SGD(const ParameterList& parameters, const SGDOptions& options);

  void step() override;
  const char* name() const override { return "SGD"; }

 private:
  void check_options(const SGDOptions& options) const override;
};

}  // namespace minidl::optim
