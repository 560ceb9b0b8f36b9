// Parameter updates: kernels/cuda/elements.cuh walks, kernels/update_rules.h computes.
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/optimizer.h"
#include "minidl/kernels/update_rules.h"

namespace minidl::kernels::cuda {
namespace {

/// The rule with norms that are on the device.
template <class T>
struct DeviceLars {
  LarsRule<T> rule;
  const T *param_norm, *grad_norm;

  __device__ void operator()(T& p, T g, T& velocity) const {
    rule(p, g, velocity, rule.trust(*param_norm, *grad_norm));
  }
  __device__ void operator()(T& p, T g) const { rule(p, g, rule.trust(*param_norm, *grad_norm)); }
};

}  // namespace

void sgd_step(ExecContext& ctx, const SgdParams& params, const View& param, const View& grad,
              const View& momentum) {
  visit_float("sgd_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (params.momentum == 0) {
      for_each_element(ctx, "sgd_step", param.shape, Each{SgdRule<T>(params)}, Updates<T>{param},
                       Reads<T>{grad});
    } else {
      for_each_element(ctx, "sgd_step", param.shape, Each{MomentumRule<T>(params)},
                       Updates<T>{param}, Reads<T>{grad}, Updates<T>{momentum});
    }
  });
}

void adam_step(ExecContext& ctx, const AdamParams& params, const View& param, const View& grad,
               const View& exp_avg, const View& exp_avg_sq) {
  visit_float("adam_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_element(ctx, "adam_step", param.shape, Each{AdamRule<T>(params)}, Updates<T>{param},
                     Reads<T>{grad}, Updates<T>{exp_avg}, Updates<T>{exp_avg_sq});
  });
}

void lion_step(ExecContext& ctx, const LionParams& params, const View& param, const View& grad,
               const View& exp_avg) {
  visit_float("lion_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_element(ctx, "lion_step", param.shape, Each{LionRule<T>(params)}, Updates<T>{param},
                     Reads<T>{grad}, Updates<T>{exp_avg});
  });
}

void lars_step(ExecContext& ctx, const LarsParams& params, const View& param, const View& grad,
               const View& velocity, const View& param_norm, const View& grad_norm) {
  visit_float("lars_step", param.dtype, [&](auto zero) {
    using T = decltype(zero);
    const DeviceLars<T> rule{LarsRule<T>(params), param_norm.ptr<T>(), grad_norm.ptr<T>()};
    if (params.momentum == 0) {
      for_each_element(ctx, "lars_step", param.shape, Each{rule}, Updates<T>{param},
                       Reads<T>{grad});
    } else {
      for_each_element(ctx, "lars_step", param.shape, Each{rule}, Updates<T>{param}, Reads<T>{grad},
                       Updates<T>{velocity});
    }
  });
}

}  // namespace minidl::kernels::cuda
