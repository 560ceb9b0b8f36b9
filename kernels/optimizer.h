// Parameter updates, one pass over parameter, gradient and state.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// param, grad and the state have one shape, one dtype (f32, f64) and, normally, one dense layout
// (any strides work).

struct SgdParams {
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< L2: added to the gradient as weight_decay * param
  bool nesterov = false;
  bool first_step = false;  ///< the momentum buffer starts as the gradient (PyTorch's rule)
};

/// Stochastic gradient descent; `momentum` is undefined where params.momentum is 0.
using SgdStep = void(ExecContext&, const SgdParams& params, const View& param, const View& grad,
                     const View& momentum);

struct AdamParams {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled =
      true;  ///< AdamW (Loshchilov and Hutter 2019): decays the parameter, not the grad
  std::int64_t step = 1;  ///< counted from 1, for the bias correction
};

/// Adam (Kingma and Ba 2015) with the first and second moments `exp_avg` and `exp_avg_sq`.
using AdamStep = void(ExecContext&, const AdamParams& params, const View& param, const View& grad,
                      const View& exp_avg, const View& exp_avg_sq);

namespace cpu {
SgdStep sgd_step;
AdamStep adam_step;
}  // namespace cpu

namespace cuda {
SgdStep sgd_step;
AdamStep adam_step;
}  // namespace cuda

inline constexpr Entry<SgdStep> sgd_step{cpu::sgd_step, cuda::sgd_step};
inline constexpr Entry<AdamStep> adam_step{cpu::adam_step, cuda::adam_step};

}  // namespace minidl::kernels
