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

namespace detail {

template <>
inline constexpr auto kFields<LionOptions> = std::tuple(
    Field{"lr", &LionOptions::lr}, Field{"beta1", &LionOptions::beta1},
    Field{"beta2", &LionOptions::beta2}, Field{"weight_decay", &LionOptions::weight_decay});
template <>
inline constexpr auto kFields<LionState> = std::tuple(Field{"exp_avg", &LionState::exp_avg});

}  // namespace detail

/// Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms): every element moves by
/// lr, in the direction of sign(beta1 m + (1 - beta1) g); then m = beta2 m + (1 - beta2) g.
class Lion final : public GroupedOptimizer<LionOptions, LionState> {
 public:
  Lion(const ParameterList& parameters, const LionOptions& options);

  void step() override;
  const char* name() const override { return "Lion"; }

 private:
  void check_options(const LionOptions& options) const override;
};

}  // namespace minidl::optim
