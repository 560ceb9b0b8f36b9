// The length of a vector, for optimizers and clipping.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// out (a scalar of x's dtype, f32 or f64) = the root of the sum of x^2 over all elements, taken in
/// f64, in an order that only shape and layout decide. x may have any strides.
using L2Norm = void(ExecContext&, const View& x, const View& out);

namespace cpu {
L2Norm l2_norm;
}
namespace cuda {
L2Norm l2_norm;
}
inline constexpr Entry<L2Norm> l2_norm{cpu::l2_norm, cuda::l2_norm, writes_last(1)};

}  // namespace minidl::kernels
