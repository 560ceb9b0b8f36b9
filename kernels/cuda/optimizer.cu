// Parameter updates: kernels/cuda/elements.cuh walks, kernels/update_rules.h computes.
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/optimizer.h"
#include "minidl/kernels/update_rules.h"

namespace minidl::kernels::cuda {

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

}  // namespace minidl::kernels::cuda
