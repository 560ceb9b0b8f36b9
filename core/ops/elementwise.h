// Elementwise arithmetic; functions of one operand are in core/ops/functions.h. Operands of
// two-operand functions broadcast as in NumPy and are promoted to a common dtype (`promote`);
// results keep the layout of a dense operand.
#pragma once

#include "minidl/core/ops/functions.h"
#include "minidl/core/tensor.h"

namespace minidl {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
/// The true quotient: integers and bool become f32.
Tensor div(const Tensor& a, const Tensor& b);
/// floor(a / b), in the promoted dtype. Not differentiable. An integer divided by 0 is an Error; on
/// a GPU it is thrown when the host next waits for the device.
Tensor floor_divide(const Tensor& a, const Tensor& b);
/// a - b * floor_divide(a, b), as Python's a % b: its sign is b's.
Tensor remainder(const Tensor& a, const Tensor& b);
/// a ^ b. An integer to a negative power is the fraction, truncated.
Tensor pow(const Tensor& a, const Tensor& b);
/// The larger / smaller of two elements; NaN wins; equal elements share the gradient.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// Of integers (i8, u8, i32, i64) and bool.
Tensor bitwise_and(const Tensor& a, const Tensor& b);
Tensor bitwise_or(const Tensor& a, const Tensor& b);
Tensor bitwise_xor(const Tensor& a, const Tensor& b);

Tensor pow(const Tensor& x, double exponent);

/// alpha * x + beta, in the dtype of x; integers and bool become f32 unless both numbers are whole.
Tensor affine(const Tensor& x, double alpha, double beta);

// clang-format off
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator%(const Tensor& a, const Tensor& b) { return remainder(a, b); }
inline Tensor operator&(const Tensor& a, const Tensor& b) { return bitwise_and(a, b); }
inline Tensor operator|(const Tensor& a, const Tensor& b) { return bitwise_or(a, b); }
inline Tensor operator^(const Tensor& a, const Tensor& b) { return bitwise_xor(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator~(const Tensor& x) { return bitwise_not(x); }
inline Tensor operator+(const Tensor& x, double value) { return affine(x, 1, value); }
inline Tensor operator+(double value, const Tensor& x) { return affine(x, 1, value); }
inline Tensor operator-(const Tensor& x, double value) { return affine(x, 1, -value); }
inline Tensor operator-(double value, const Tensor& x) { return affine(x, -1, value); }
inline Tensor operator*(const Tensor& x, double value) { return affine(x, value, 0); }
inline Tensor operator*(double value, const Tensor& x) { return affine(x, value, 0); }
inline Tensor operator%(const Tensor& x, double value) { return remainder(x, value); }
// clang-format on
Tensor operator/(const Tensor& x, double value);  ///< integers become f32, here and below
Tensor operator/(double value, const Tensor& x);

/// Sums `x` over the dimensions along which `shape` was stretched to x's shape: the gradient of a
/// broadcast.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace minidl
