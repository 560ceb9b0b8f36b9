// What every device asks of the operands of a convolution. Not part of the public interface.
#pragma once

#include "minidl/kernels/conv.h"

namespace minidl::kernels {

/// Throw Error, naming the pass, unless parameters, shapes, dtypes and layouts are those that
/// kernels/conv.h promises.
void check_conv2d_forward(const Conv2dParams& params, const View& x, const View& weight,
                          const View& bias, const View& y);
void check_conv2d_backward_input(const Conv2dParams& params, const View& dy, const View& weight,
                                 const View& dx);
void check_conv2d_backward_weight(const Conv2dParams& params, const View& dy, const View& x,
                                  const View& dweight);

}  // namespace minidl::kernels
