// Elementwise arithmetic and activations. Operands of two-operand functions broadcast as in NumPy
// and are promoted to a common dtype (`promote`); results keep the layout of a dense operand.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
/// Floating point only: integers throw.
Tensor div(const Tensor& a, const Tensor& b);
/// The larger / smaller of two elements; NaN wins; equal elements share the gradient.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// 1 where the elements are equal, else 0, in the promoted dtype. Not differentiable.
Tensor equal(const Tensor& a, const Tensor& b);

Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);  ///< gradient 0 at 0
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor relu(const Tensor& x);  ///< gradient 0 at 0; NaN stays NaN
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor erf(const Tensor& x);

enum class GeluApproximation { none, tanh };
/// x Phi(x) with the standard normal distribution Phi (Hendrycks and Gimpel 2016): exact, through
/// erf, or with tanh in its place as in GPT-2.
Tensor gelu(const Tensor& x, GeluApproximation approximation = GeluApproximation::none);

Tensor pow(const Tensor& x, double exponent);

/// alpha * x + beta, in the dtype of x; integers and bool become f32 unless both numbers are whole.
Tensor affine(const Tensor& x, double alpha, double beta);

// clang-format off
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator+(const Tensor& x, double value) { return affine(x, 1, value); }
inline Tensor operator+(double value, const Tensor& x) { return affine(x, 1, value); }
inline Tensor operator-(const Tensor& x, double value) { return affine(x, 1, -value); }
inline Tensor operator-(double value, const Tensor& x) { return affine(x, -1, value); }
inline Tensor operator*(const Tensor& x, double value) { return affine(x, value, 0); }
inline Tensor operator*(double value, const Tensor& x) { return affine(x, value, 0); }
// clang-format on
Tensor operator/(const Tensor& x, double value);  ///< integers become f32, here and below
Tensor operator/(double value, const Tensor& x);

/// Sums `x` over the dimensions along which `shape` was stretched to x's shape: the gradient of a
/// broadcast.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace minidl
