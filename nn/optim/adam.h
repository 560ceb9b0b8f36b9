// Adam and AdamW.
#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  ///< L2 penalty: weight_decay * parameter joins the gradient
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: parameters shrink by lr * weight_decay
};

struct AdamState {
  Tensor exp_avg;
  Tensor exp_avg_sq;
  std::int64_t steps = 0;
};

namespace detail {

template <class Options>
inline constexpr auto kAdamFields = std::tuple(Field{"lr", &Options::lr},
                                               Field{"beta1", &Options::beta1},
                                               Field{"beta2", &Options::beta2},
                                               Field{"eps", &Options::eps},
                                               Field{"weight_decay", &Options::weight_decay});
template <>
inline constexpr auto kFields<AdamOptions> = kAdamFields<AdamOptions>;
template <>
inline constexpr auto kFields<AdamWOptions> = kAdamFields<AdamWOptions>;
template <>
inline constexpr auto kFields<AdamState> = std::tuple(Field{"exp_avg", &AdamState::exp_avg},
                                                      Field{"exp_avg_sq", &AdamState::exp_avg_sq},
                                                      Field{"step", &AdamState::steps});

}  // namespace detail

/// Adam (Kingma and Ba 2015) with the weight decay in the gradient, PyTorch's defaults. Most want
/// AdamW.
class Adam final : public GroupedOptimizer<AdamOptions, AdamState> {
 public:
  Adam(const ParameterList& parameters, const AdamOptions& options);

  void step() override;
  const char* name() const override { return "Adam"; }

 private:
  void check_options(const AdamOptions& options) const override;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), PyTorch's defaults.
class AdamW final : public GroupedOptimizer<AdamWOptions, AdamState> {
 public:
  AdamW(const ParameterList& parameters, const AdamWOptions& options);

  void step() override;
  const char* name() const override { return "AdamW"; }

 private:
  void check_options(const AdamWOptions& options) const override;
};

}  // namespace minidl::optim
