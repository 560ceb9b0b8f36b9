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

/// LAMB (You et al. 2020, Large Batch Optimization for Deep Learning): with Adam's direction and
/// the decay, r = m' / (sqrt(v') + eps) + weight_decay p (bias-corrected m' and v'), every
/// parameter tensor moves by lr |p| / |r| r; by lr r where |p| or |r| is 0. A step needs the memory
/// of one r at a time.
class LAMB final : public GroupedOptimizer<LAMBOptions, LAMBState> {
 public:
  LAMB(const Tensors& parameters, const LAMBOptions& options);
  /// Parameters with options of their own.
  void add_group(const Tensors& parameters, const LAMBOptions& options);

  void step() override;
};

}  // namespace minidl::optim
