#include "minidl/kernels/optimizer.h"

#include "minidl/kernels/cpu/rows.h"
#include "minidl/kernels/update_rules.h"

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

// update(param, grad, exp_avg, exp_avg_sq) on every element.
template <class T, class F>
void update_with_moments(const View& param, const View& grad, const View& exp_avg,
                         const View& exp_avg_sq, const F& update) {
  const LoopNest<4> nest(param.shape,
                         {param.strides, grad.strides, exp_avg.strides, exp_avg_sq.strides});
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
  visit_float("sgd_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (params.momentum == 0) return update_stateless<T>(param, grad, SgdRule<T>(params));
    update_with_state<T>(param, grad, momentum, MomentumRule<T>(params));
  });
}

void adam_step(ExecContext&, const AdamParams& params, const View& param, const View& grad,
               const View& exp_avg, const View& exp_avg_sq) {
  visit_float("adam_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    update_with_moments<T>(param, grad, exp_avg, exp_avg_sq, AdamRule<T>(params));
  });
}

void lion_step(ExecContext&, const LionParams& params, const View& param, const View& grad,
               const View& exp_avg) {
  visit_float("lion_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    update_with_state<T>(param, grad, exp_avg, LionRule<T>(params));
  });
}

void lars_step(ExecContext&, const LarsParams& params, const View& param, const View& grad,
               const View& velocity, const View& param_norm, const View& grad_norm) {
  visit_float("lars_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    const LarsRule<T> rule(params);
    const T trust = rule.trust(*param_norm.ptr<T>(), *grad_norm.ptr<T>());
    if (params.momentum == 0) {
      return update_stateless<T>(param, grad, [=](T& p, T g) { rule(p, g, trust); });
    }
    update_with_state<T>(param, grad, velocity, [=](T& p, T g, T& v) { rule(p, g, v, trust); });
  });
}

}  // namespace minidl::kernels::cpu
