// One output element from the elements at the same (broadcast) index of the inputs.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

enum class UnaryOp {
  neg,
  abs,
  sign,  ///< -1, 0 or 1; 0 of NaN
  square,
  reciprocal,
  sqrt,
  rsqrt,  ///< 1 / sqrt(x)
  exp,
  exp2,
  expm1,  ///< exp(x) - 1, accurate near 0
  log,
  log2,
  log10,
  log1p,  ///< log(1 + x), accurate near 0
  sin,
  cos,
  floor,
  ceil,
  round,  ///< to the nearest whole number, halves to the even one
  trunc,
  bitwise_not,  ///< the logical not of bool
  relu,
  sigmoid,
  logsigmoid,
  tanh,
  erf,
  gelu,       ///< x Phi(x), Phi being the standard normal distribution (Hendrycks and Gimpel 2016)
  gelu_tanh,  ///< the same with Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  silu,       ///< x sigmoid(x) (Hendrycks and Gimpel 2016)
  mish,       ///< x tanh(log(1 + exp(x))) (Misra 2019)
  hardsigmoid,  ///< x / 6 + 1 / 2, limited to 0..1
  hardswish,    ///< x hardsigmoid(x) (Howard et al. 2019)
};

/// Functions of one operand and one or two numbers, the Parameters.
enum class ParametricOp {
  clamp,         ///< x, limited to first..second; second where first is the larger one
  hardtanh,      ///< the same, but its derivative is 0 at the limits, where clamp's is 1
  leaky_relu,    ///< x where x > 0, else first * x
  elu,           ///< x where x > 0, else first * (exp(x) - 1) (Clevert et al. 2015)
  softplus,      ///< log(1 + exp(first * x)) / first; x where first * x > second
  floor_divide,  ///< floor(x / first)
  remainder,     ///< x - first * floor(x / first): the sign is first's
};
struct Parameters {
  double first = 0;
  double second = 0;
};

enum class BinaryOp {
  add,
  sub,
  mul,
  div,
  floor_divide,  ///< floor(a / b)
  remainder,     ///< a - b * floor(a / b): the sign is b's
  pow,
  maximum,
  minimum,
  bitwise_and,
  bitwise_or,
  bitwise_xor,
  select_greater,  ///< a where b > 0, a / 2 where b == 0, else 0; b is x - y of maximum(x, y)
};

/// "relu", "leaky_relu", "add", …
const char* name(UnaryOp op);
const char* name(ParametricOp op);
const char* name(BinaryOp op);

/// What the derivative of a function is computed from.
enum class Derivative { of_input, of_output, zero, minus_one };
Derivative derivative(UnaryOp op);

// Wherever f32 is taken, so are f16 and bf16: computed in f32, rounded once.
// Integers wrap around on overflow. relu, clamp, maximum and minimum keep a NaN.

/// out = op(x). x and out: one shape, one dtype (f32, f64; neg, abs, sign, square, relu and what
/// rounds also i32, i64; bitwise_not i8, u8, i32, i64 and bool only).
using Unary = void(ExecContext&, UnaryOp op, const View& x, const View& out);

/// out = grad * op'(x), where `saved` is x or op(x), as derivative(op) says. All of one shape and
/// dtype (f32, f64). Throws where the derivative is a constant.
using UnaryBackward = void(ExecContext&, UnaryOp op, const View& grad, const View& saved,
                           const View& out);

/// out = op(x, parameters), one shape and dtype (f32, f64; clamp, floor_divide and remainder also
/// i32, i64: there the numbers are converted as in Copy, and must not become a divisor of 0).
using Parametric = void(ExecContext&, ParametricOp op, const Parameters& parameters, const View& x,
                        const View& out);

/// out = grad * op'(x) (f32, f64). Throws for floor_divide and remainder, whose derivatives are
/// constant.
using ParametricBackward = void(ExecContext&, ParametricOp op, const Parameters& parameters,
                                const View& grad, const View& x, const View& out);

/// out = op(a, b), both stretched to out's shape where a stride is 0. One dtype: f32, f64 for all
/// but the bitwise ones; i32, i64 for all but div and select_greater, which throw; the bitwise ones
/// also i8, u8 and bool. An integer divided by 0 is an Error; an integer to a negative power is the
/// fraction, truncated.
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
UnaryBackward unary_backward;
Parametric parametric;
ParametricBackward parametric_backward;
Binary binary;
Affine affine;
Power power;
Axpy axpy;
}  // namespace cpu

namespace cuda {
Unary unary;
UnaryBackward unary_backward;
Parametric parametric;
ParametricBackward parametric_backward;
Binary binary;
Affine affine;
Power power;
Axpy axpy;
}  // namespace cuda

inline constexpr Entry<Unary> unary{cpu::unary, cuda::unary, writes_last(1).on_cuda_only()};
inline constexpr Entry<UnaryBackward> unary_backward{cpu::unary_backward, cuda::unary_backward,
                                                     writes_last(1).on_cuda_only()};
inline constexpr Entry<Parametric> parametric{cpu::parametric, cuda::parametric,
                                              writes_last(1).on_cuda_only()};
inline constexpr Entry<ParametricBackward> parametric_backward{
    cpu::parametric_backward, cuda::parametric_backward, writes_last(1).on_cuda_only()};
inline constexpr Entry<Binary> binary{cpu::binary, cuda::binary, writes_last(1).on_cuda_only()};
inline constexpr Entry<Affine> affine{cpu::affine, cuda::affine, writes_last(1).on_cuda_only()};
inline constexpr Entry<Power> power{cpu::power, cuda::power, writes_last(1).on_cuda_only()};
inline constexpr Entry<Axpy> axpy{cpu::axpy, cuda::axpy, changes_last(1).on_cuda_only()};

}  // namespace minidl::kernels
