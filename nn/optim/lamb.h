#pragma once

#include "minidl/nn/optim/optimizer.h"

namespace minidl::optim {

struct LAMBOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0.01;
  bool adapt = true;  ///< false: plain AdamW, usual for biases and the parameters of norms
};

struct LAMBState {
  Tensor exp_avg;
  Tensor exp_avg_sq;
  std::int64_t steps = 0;
};

namespace detail {

template <>
inline constexpr auto kFields<LAMBOptions> = std::tuple(
    Field{"lr", &LAMBOptions::lr}, Field{"beta1", &LAMBOptions::beta1},
    Field{"beta2", &LAMBOptions::beta2}, Field{"eps", &LAMBOptions::eps},
    Field{"weight_decay", &LAMBOptions::weight_decay}, Field{"adapt", &LAMBOptions::adapt});
template <>
inline constexpr auto kFields<LAMBState> = std::tuple(Field{"exp_avg", &LAMBState::exp_avg},
                                                      Field{"exp_avg_sq", &LAMBState::exp_avg_sq},
                                                      Field{"step", &LAMBState::steps});

}  // namespace detail

/// LAMB (You et al. 2020, Large Batch Optimization for Deep Learning): with Adam's direction and
/// the decay, r = m' / (sqrt(v') + eps) + weight_decay p (bias-corrected m' and v'), every
/// parameter tensor moves by lr |p| / |r| r; by lr r where |p| or |r| is 0. A step needs the memory
/// of one r at a time.
class LAMB final : public GroupedOptimizer<LAMBOptions, LAMBState> {
 public:
  LAMB(const ParameterList& parameters, const LAMBOptions& options);

  void step() override;
  const char* name() const override { return "LAMB"; }

 private:
  void check_options(const LAMBOptions& options) const override;
};

}  // namespace minidl::optim
