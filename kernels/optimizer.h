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

struct LionParams {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;  ///< decoupled, as in AdamW
};

/// Lion (Chen et al. 2023): p moves by lr * sign(beta1 * m + (1 - beta1) * g), then m becomes
/// beta2 * m + (1 - beta2) * g.
using LionStep = void(ExecContext&, const LionParams& params, const View& param, const View& grad,
                      const View& exp_avg);

struct LarsParams {
  double lr = 0;
  double momentum = 0;
  double weight_decay = 0;          ///< joins the gradient as weight_decay * param
  double trust_coefficient = 1e-3;  ///< share of the parameter's norm that a step may have
  double eps = 0;
  bool adapt = true;  ///< false: a trust of 1
};

/// Gradient descent with steps in proportion to the parameter (You, Gitman and Ginsburg 2017). With
/// the trust t = trust_coefficient * |p| / (|g| + weight_decay * |p| + eps), or 1 where |p| or |g|
/// is 0, v becomes momentum * v + t * (g + weight_decay * p), and p moves by lr * v. The norms are
/// scalars; `velocity` is undefined where params.momentum is 0, and starts with zeros.
using LarsStep = void(ExecContext&, const LarsParams& params, const View& param, const View& grad,
                      const View& velocity, const View& param_norm, const View& grad_norm);

namespace cpu {
SgdStep sgd_step;
AdamStep adam_step;
LionStep lion_step;
LarsStep lars_step;
}  // namespace cpu

namespace cuda {
SgdStep sgd_step;
AdamStep adam_step;
LionStep lion_step;
LarsStep lars_step;
}  // namespace cuda

inline constexpr Entry<SgdStep> sgd_step{cpu::sgd_step, cuda::sgd_step, changes_last(3)};
inline constexpr Entry<AdamStep> adam_step{cpu::adam_step, cuda::adam_step, changes_last(4)};
inline constexpr Entry<LionStep> lion_step{cpu::lion_step, cuda::lion_step, changes_last(3)};
inline constexpr Entry<LarsStep> lars_step{cpu::lars_step, cuda::lars_step, changes_last(5)};

}  // namespace minidl::kernels
