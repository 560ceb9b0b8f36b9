// f64 convolutions as matrix products, for what oneDNN does not do.
#pragma once

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"
#include "minidl/kernels/conv.h"

namespace minidl::kernels::cpu {

// All operands dense in NHWC order (weights: OHWI), none of them empty.

/// Adds the convolution to y.
void conv2d_forward_f64(ExecContext& ctx, const Conv2dParams& params, const View& x,
                        const View& weight, const View& y);

void conv2d_backward_input_f64(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                               const View& weight, const View& dx);

/// Adds the gradient to dweight.
void conv2d_backward_weight_f64(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                                const View& x, const View& dweight);

}  // namespace minidl::kernels::cpu
