// What an optimizer does to one element, for the kernels of every device.
// Not part of the public interface.
#pragma once

#include <cmath>

#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/optimizer.h"

namespace minidl::kernels {

template <class T>
struct SgdRule {
  T lr, decay;

  explicit SgdRule(const SgdParams& params)
      : lr(static_cast<T>(params.lr)), decay(static_cast<T>(params.weight_decay)) {}
  MINIDL_HOST_DEVICE void operator()(T& p, T g) const { p -= lr * (g + decay * p); }
};

template <class T>
struct MomentumRule {
  T lr, decay, keep, take;
  bool first, nesterov;

  explicit MomentumRule(const SgdParams& params)
      : lr(static_cast<T>(params.lr)),
        decay(static_cast<T>(params.weight_decay)),
        keep(static_cast<T>(params.momentum)),
        take(static_cast<T>(1 - params.dampening)),
        first(params.first_step),
        nesterov(params.nesterov) {}
  MINIDL_HOST_DEVICE void operator()(T& p, T g, T& velocity) const {
    const T step = g + decay * p;
    velocity = first ? step : keep * velocity + take * step;
    p -= lr * (nesterov ? step + keep * velocity : velocity);
  }
};

template <class T>
struct AdamRule {
  T beta1, beta2, take1, take2, eps, step_size, unbias, shrink, decay;

  explicit AdamRule(const AdamParams& params)
      : beta1(static_cast<T>(params.beta1)),
        beta2(static_cast<T>(params.beta2)),
        take1(static_cast<T>(1 - params.beta1)),
        take2(static_cast<T>(1 - params.beta2)),
        eps(static_cast<T>(params.eps)),
        step_size(static_cast<T>(params.lr / correction(params.beta1, params.step))),
        unbias(static_cast<T>(1 / std::sqrt(correction(params.beta2, params.step)))),
        shrink(params.decoupled ? static_cast<T>(1 - params.lr * params.weight_decay) : T{1}),
        decay(params.decoupled ? T{0} : static_cast<T>(params.weight_decay)) {}
  MINIDL_HOST_DEVICE void operator()(T& p, T g, T& m, T& v) const {
    const T direction = g + decay * p;
    m = beta1 * m + take1 * direction;
    v = beta2 * v + take2 * direction * direction;
    p = shrink * p - step_size * m / (std::sqrt(v) * unbias + eps);
  }

 private:
  static double correction(double beta, std::int64_t step) {
    return 1 - std::pow(beta, static_cast<double>(step));
  }
};

template <class T>
struct LionRule {
  T lr, beta1, beta2, take1, take2, shrink;

  explicit LionRule(const LionParams& params)
      : lr(static_cast<T>(params.lr)),
        beta1(static_cast<T>(params.beta1)),
        beta2(static_cast<T>(params.beta2)),
        take1(static_cast<T>(1 - params.beta1)),
        take2(static_cast<T>(1 - params.beta2)),
        shrink(static_cast<T>(1 - params.lr * params.weight_decay)) {}
  MINIDL_HOST_DEVICE void operator()(T& p, T g, T& m) const {
    const T direction = beta1 * m + take1 * g;
    const T sign = static_cast<T>((direction > T{0}) - (direction < T{0}));
    p = shrink * p - lr * sign;
    m = beta2 * m + take2 * g;
  }
};

template <class T>
struct LarsRule {
  T lr, keep, decay, coefficient, eps;
  bool adapt;

  explicit LarsRule(const LarsParams& params)
      : lr(static_cast<T>(params.lr)),
        keep(static_cast<T>(params.momentum)),
        decay(static_cast<T>(params.weight_decay)),
        coefficient(static_cast<T>(params.trust_coefficient)),
        eps(static_cast<T>(params.eps)),
        adapt(params.adapt) {}
  MINIDL_HOST_DEVICE T trust(T param_norm, T grad_norm) const {
    if (!adapt || !(param_norm > T{0} && grad_norm > T{0})) return T{1};
    return coefficient * param_norm / (grad_norm + decay * param_norm + eps);
  }
  MINIDL_HOST_DEVICE void operator()(T& p, T g, T& velocity, T t) const {
    velocity = keep * velocity + t * (g + decay * p);
    p -= lr * velocity;
  }
  MINIDL_HOST_DEVICE void operator()(T& p, T g, T t) const { p -= lr * t * (g + decay * p); }
};

}  // namespace minidl::kernels
