// What every device asks of the operands of a matrix product. Not part of the public interface.
#pragma once

#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// Throws Error unless ranks, dtypes and shapes are those that kernels/matmul.h promises. Which
/// dtypes there are is the device's own affair.
void check_matmul(const View& a, const View& b, const View& bias, const View& out);

}  // namespace minidl::kernels
