// Elementwise functions of one operand. Results have the dtype and the layout of the operand. f32
// and f64; neg, abs, sign, square, relu, clamp, floor_divide, remainder and what rounds also take
// i32 and i64.
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);   ///< gradient 0 at 0
Tensor sign(const Tensor& x);  ///< -1, 0 or 1; 0 of NaN; gradient 0
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);  ///< 1 / x
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);  ///< 1 / sqrt(x)
Tensor exp(const Tensor& x);
Tensor exp2(const Tensor& x);
Tensor expm1(const Tensor& x);  ///< exp(x) - 1, accurate near 0
Tensor log(const Tensor& x);
Tensor log2(const Tensor& x);
Tensor log10(const Tensor& x);
Tensor log1p(const Tensor& x);  ///< log(1 + x), accurate near 0
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor erf(const Tensor& x);

// To whole numbers, which stay in x's dtype. Their gradients are 0.
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);  ///< to the nearest, halves to the even one
Tensor trunc(const Tensor& x);  ///< towards 0

/// The complement of integers (i8, u8, i32, i64), the logical not of bool.
Tensor bitwise_not(const Tensor& x);

// Activations

Tensor relu(const Tensor& x);  ///< gradient 0 at 0; NaN stays NaN
/// x where x > 0, else negative_slope * x.
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
/// x limited to min_val..max_val, with gradient 0 at the limits; throws Error unless min_val is the
/// smaller one.
Tensor hardtanh(const Tensor& x, double min_val = -1, double max_val = 1);
Tensor relu6(const Tensor& x);  ///< hardtanh(x, 0, 6)
Tensor sigmoid(const Tensor& x);
Tensor logsigmoid(const Tensor& x);   ///< log(sigmoid(x)), without overflow
Tensor hardsigmoid(const Tensor& x);  ///< x / 6 + 1 / 2, limited to 0..1
Tensor tanh(const Tensor& x);
/// log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold.
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
/// x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015).
Tensor elu(const Tensor& x, double alpha = 1);
Tensor silu(const Tensor& x);       ///< x sigmoid(x) (Hendrycks and Gimpel 2016)
Tensor mish(const Tensor& x);       ///< x tanh(softplus(x)) (Misra 2019)
Tensor hardswish(const Tensor& x);  ///< x hardsigmoid(x) (Howard et al. 2019)

enum class GeluApproximation { none, tanh };
/// x Phi(x) with the standard normal distribution Phi (Hendrycks and Gimpel 2016): exact, through
/// erf, or with tanh in its place as in GPT-2.
Tensor gelu(const Tensor& x, GeluApproximation approximation = GeluApproximation::none);

// With numbers. Integers become f32 unless all numbers are whole.

/// x limited to min..max, of which one may be left out; max wins where it is the smaller one. The
/// gradient is 0 at the limits. NaN stays NaN, and a limit that is NaN makes everything NaN.
Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max = {});
Tensor clamp_min(const Tensor& x, double min);
Tensor clamp_max(const Tensor& x, double max);

/// floor(x / divisor). Not differentiable. Throws Error where integers are divided by 0.
Tensor floor_divide(const Tensor& x, double divisor);
/// x - divisor * floor_divide(x, divisor), as Python's x % divisor: its sign is the divisor's.
Tensor remainder(const Tensor& x, double divisor);

}  // namespace minidl
