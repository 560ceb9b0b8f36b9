#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct LARSOptions {
  double lr = 1e-3;
  double momentum = 0.9;
  double weight_decay = 0;  ///< L2 penalty: weight_decay * parameter joins the gradient
  double trust_coefficient = 1e-3;
  double eps = 1e-8;
  bool adapt = true;  ///< false: plain SGD, usual for biases and the parameters of norms
};

struct LARSState {
  Tensor velocity;  ///< undefined before the first step, and without momentum
};

namespace detail {

template <>
inline constexpr auto kFields<LARSOptions> =
    std::tuple(Field{"lr", &LARSOptions::lr}, Field{"momentum", &LARSOptions::momentum},
               Field{"weight_decay", &LARSOptions::weight_decay},
               Field{"trust_coefficient", &LARSOptions::trust_coefficient},
               Field{"eps", &LARSOptions::eps}, Field{"adapt", &LARSOptions::adapt});
template <>
inline constexpr auto kFields<LARSState> = std::tuple(Field{"momentum_buffer",
                                                            &LARSState::velocity});

}  // namespace detail

/// Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, Large Batch Training of
/// Convolutional Networks): with t = trust_coefficient |p| / (|g| + weight_decay |p| + eps) for
/// each parameter tensor, or 1 where |p| or |g| is 0,
/// v = momentum v + t (g + weight_decay p), p -= lr v. The learning rate is outside of v, as in
/// SGD.
class LARS final : public GroupedOptimizer<LARSOptions, LARSState> {
 public:
  LARS(const ParameterList& parameters, const LARSOptions& options);

  void step() override;
  const char* name() const override { return "LARS"; }

 private:
  void check_options(const LARSOptions& options) const override;
};

}  // namespace minidl::optim
