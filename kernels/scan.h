// Running sums and products along one dimension.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// x, dy, out and dx: one shape, one dtype, any strides. Floating-point numbers accumulate in f64,
// integers wrap around.

/// out[i] = x[0] + … + x[i] along `dim`, or x[i] + … + x[last] in reverse. f32, f64, i32, i64.
using Cumsum = void(ExecContext&, const View& x, int dim, bool reverse, const View& out);

/// out[i] = x[0] * … * x[i] along `dim`. f32, f64, i32, i64.
using Cumprod = void(ExecContext&, const View& x, int dim, const View& out);

/// dx[i] = sum over k >= i of dy[k] * (the product of x[0] to x[k], without x[i]), the gradient of
/// Cumprod; nothing is divided, so zeros do no harm. f32 and f64.
using CumprodBackward = void(ExecContext&, const View& dy, const View& x, int dim, const View& dx);

namespace cpu {
Cumsum cumsum;
Cumprod cumprod;
CumprodBackward cumprod_backward;
}  // namespace cpu

inline constexpr Entry<Cumsum> cumsum{cpu::cumsum, only_on_cpu("cumsum"), writes_last(1)};
inline constexpr Entry<Cumprod> cumprod{cpu::cumprod, only_on_cpu("cumprod"), writes_last(1)};
inline constexpr Entry<CumprodBackward> cumprod_backward{
    cpu::cumprod_backward, only_on_cpu("cumprod backward"), writes_last(1)};

}  // namespace minidl::kernels
