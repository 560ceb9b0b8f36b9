// Matrix products.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// PyTorch's matmul for matrices and batches of them: [..., M, K] x [..., K, N] -> [..., M, N]; the
/// leading dimensions broadcast. Vectors are taken as a row (a) or a column (b), whose dimension
/// disappears from the result. Dtypes must be equal, and floating-point.
Tensor matmul(const Tensor& a, const Tensor& b);

/// x weight^T + bias: x [..., in], weight [out, in], bias [out] or undefined -> [..., out].
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace minidl
