// Running sums and products.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// out[i] = x[0] + … + x[i] along `dim`. f32 and f64 accumulate in f64; integers and bool become
/// i64, as in PyTorch.
Tensor cumsum(const Tensor& x, std::int64_t dim);

/// out[i] = x[0] * … * x[i] along `dim`; dtypes as in cumsum. The gradient is right where there
/// are zeros, too.
Tensor cumprod(const Tensor& x, std::int64_t dim);

}  // namespace minidl
