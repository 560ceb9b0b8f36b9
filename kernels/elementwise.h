// One output element from the elements at the same (broadcast) index of the inputs.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

enum class UnaryOp {
  neg,
  abs,
  exp,
  log,
  sqrt,
  relu,
  sigmoid,
  tanh,
  erf,
  gelu,       ///< x Phi(x), Phi being the standard normal distribution (Hendrycks and Gimpel 2016)
  gelu_tanh,  ///< the same with Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
};

enum class BinaryOp {
  add,
  sub,
  mul,
  div,
  maximum,
  minimum,
  equal,  ///< 1 where a == b, else 0
  // Gradients of the unary operations: a is the incoming gradient, b the value that each names.
  relu_backward,       ///< a where b > 0, else 0; b is the output
  sigmoid_backward,    ///< a * b * (1 - b); b is the output
  tanh_backward,       ///< a * (1 - b * b); b is the output
  abs_backward,        ///< a * sign(b); b is the input
  gelu_backward,       ///< a * (Phi(b) + b Phi'(b)); b is the input
  gelu_tanh_backward,  ///< the same for gelu_tanh
  select_greater,      ///< a where b > 0, a / 2 where b == 0, else 0; b is x - y of maximum(x, y)
};

/// "relu", "sigmoid_backward", …
const char* name(UnaryOp op);
const char* name(BinaryOp op);

// Integers wrap around on overflow. relu, maximum and minimum keep a NaN.

/// out = op(x). x and out: one shape, one dtype (f32, f64; neg, abs and relu also i32, i64).
using Unary = void(ExecContext&, UnaryOp op, const View& x, const View& out);

/// out = op(a, b), both stretched to out's shape where a stride is 0. One dtype: f32, f64; add,
/// sub, mul, maximum, minimum also i32, i64; div on integers throws.
using Binary = void(ExecContext&, BinaryOp op, const View& a, const View& b, const View& out);

/// out = alpha * x + beta, computed in the dtype of x (f32, f64, i32, i64).
using Affine = void(ExecContext&, const View& x, double alpha, double beta, const View& out);

/// out = x ^ exponent (f32, f64).
using Power = void(ExecContext&, const View& x, double exponent, const View& out);

/// y += alpha * x, in place; x may be stretched to y's shape. Computed in their dtype (f32, f64,
/// i32, i64).
using Axpy = void(ExecContext&, double alpha, const View& x, const View& y);

namespace cpu {
Unary unary;
Binary binary;
Affine affine;
Power power;
Axpy axpy;
}  // namespace cpu

namespace cuda {
Unary unary;
Binary binary;
Affine affine;
Power power;
Axpy axpy;
}  // namespace cuda

inline constexpr Entry<Unary> unary{cpu::unary, cuda::unary};
inline constexpr Entry<Binary> binary{cpu::binary, cuda::binary};
inline constexpr Entry<Affine> affine{cpu::affine, cuda::affine};
inline constexpr Entry<Power> power{cpu::power, cuda::power};
inline constexpr Entry<Axpy> axpy{cpu::axpy, cuda::axpy};

}  // namespace minidl::kernels
