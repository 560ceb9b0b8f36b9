#include "minidl/kernels/optimizer.h"

#include <cmath>

#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

template <int N>
bool dense_rows(const LoopNest<N>& nest) {
  for (int i = 0; i < N; ++i) {
    if (nest.inner_stride(i) != 1) return false;
  }
  return true;
}

// update(param, grad) on every element.
template <class T, class F>
void update_stateless(const View& param, const View& grad, const F& update) {
  const LoopNest<2> nest(param.shape, {param.strides, grad.strides});
  const bool dense = dense_rows(nest);
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    T* p = param.ptr<T>() + at[0];
    const T* g = grad.ptr<T>() + at[1];
    if (dense) {
      for (std::int64_t i = 0; i < count; ++i) update(p[i], g[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        update(p[i * nest.inner_stride(0)], g[i * nest.inner_stride(1)]);
      }
    }
  });
}

// update(param, grad, state) on every element.
template <class T, class F>
void update_with_state(const View& param, const View& grad, const View& state, const F& update) {
  const LoopNest<3> nest(param.shape, {param.strides, grad.strides, state.strides});
  const bool dense = dense_rows(nest);
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    T* p = param.ptr<T>() + at[0];
    const T* g = grad.ptr<T>() + at[1];
    T* s = state.ptr<T>() + at[2];
    if (dense) {
      for (std::int64_t i = 0; i < count; ++i) update(p[i], g[i], s[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        update(p[i * nest.inner_stride(0)], g[i * nest.inner_stride(1)],
               s[i * nest.inner_stride(2)]);
      }
    }
  });
}

template <class T>
void sgd(const SgdParams& params, const View& param, const View& grad, const View& momentum) {
  const T lr = static_cast<T>(params.lr);
  const T decay = static_cast<T>(params.weight_decay);
  if (params.momentum == 0) {
    return update_stateless<T>(param, grad, [=](T& p, T g) { p -= lr * (g + decay * p); });
  }
  const T keep = static_cast<T>(params.momentum);
  const T take = static_cast<T>(1 - params.dampening);
  const bool first = params.first_step;
  const bool nesterov = params.nesterov;
  update_with_state<T>(param, grad, momentum, [=](T& p, T g, T& velocity) {
    const T step = g + decay * p;
    velocity = first ? step : keep * velocity + take * step;
    p -= lr * (nesterov ? step + keep * velocity : velocity);
  });
}

template <class T>
void adam(const AdamParams& params, const View& param, const View& grad, const View& exp_avg,
          const View& exp_avg_sq) {
  const auto step = static_cast<double>(params.step);
  const double correction = 1 - std::pow(params.beta1, step);
  const double correction_sq = 1 - std::pow(params.beta2, step);
  const T beta1 = static_cast<T>(params.beta1);
  const T beta2 = static_cast<T>(params.beta2);
  const T take1 = static_cast<T>(1 - params.beta1);
  const T take2 = static_cast<T>(1 - params.beta2);
  const T eps = static_cast<T>(params.eps);
  const T step_size = static_cast<T>(params.lr / correction);
  const T unbias = static_cast<T>(1 / std::sqrt(correction_sq));
  const T shrink = params.decoupled ? static_cast<T>(1 - params.lr * params.weight_decay) : T{1};
  const T decay = params.decoupled ? T{0} : static_cast<T>(params.weight_decay);

  const LoopNest<4> nest(param.shape,
                         {param.strides, grad.strides, exp_avg.strides, exp_avg_sq.strides});
  const auto update = [=](T& p, T g, T& m, T& v) {
    const T direction = g + decay * p;
    m = beta1 * m + take1 * direction;
    v = beta2 * v + take2 * direction * direction;
    p = shrink * p - step_size * m / (std::sqrt(v) * unbias + eps);
  };
  const bool dense = dense_rows(nest);
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    T* p = param.ptr<T>() + at[0];
    const T* g = grad.ptr<T>() + at[1];
    T* m = exp_avg.ptr<T>() + at[2];
    T* v = exp_avg_sq.ptr<T>() + at[3];
    if (dense) {
      for (std::int64_t i = 0; i < count; ++i) update(p[i], g[i], m[i], v[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        update(p[i * nest.inner_stride(0)], g[i * nest.inner_stride(1)],
               m[i * nest.inner_stride(2)], v[i * nest.inner_stride(3)]);
      }
    }
  });
}

}  // namespace

void sgd_step(ExecContext&, const SgdParams& params, const View& param, const View& grad,
              const View& momentum) {
  visit_float("sgd_step", param.dtype,
              [&](auto zero) { sgd<decltype(zero)>(params, param, grad, momentum); });
}

void adam_step(ExecContext&, const AdamParams& params, const View& param, const View& grad,
               const View& exp_avg, const View& exp_avg_sq) {
  visit_float("adam_step", param.dtype,
              [&](auto zero) { adam<decltype(zero)>(params, param, grad, exp_avg, exp_avg_sq); });
}

}  // namespace minidl::kernels::cpu
