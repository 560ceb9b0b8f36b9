// Comparisons, logic, and choosing between elements. Comparisons and logical functions take any
// dtype and give bool; operands broadcast and are promoted as in core/ops/elementwise.h. Nothing
// but `where` and `masked_fill` is differentiable.
#pragma once

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"

namespace minidl {

// NaN is equal to nothing, and neither less nor greater. A number is compared in the tensor's dtype
// where that holds it (floating point: rounds it), else in f64.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& x, double value);
Tensor ne(const Tensor& x, double value);
Tensor lt(const Tensor& x, double value);
Tensor le(const Tensor& x, double value);
Tensor gt(const Tensor& x, double value);
Tensor ge(const Tensor& x, double value);

// clang-format off
inline Tensor operator==(const Tensor& a, const Tensor& b) { return eq(a, b); }
inline Tensor operator!=(const Tensor& a, const Tensor& b) { return ne(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return lt(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return le(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return gt(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return ge(a, b); }
inline Tensor operator==(const Tensor& x, double value) { return eq(x, value); }
inline Tensor operator!=(const Tensor& x, double value) { return ne(x, value); }
inline Tensor operator<(const Tensor& x, double value) { return lt(x, value); }
inline Tensor operator<=(const Tensor& x, double value) { return le(x, value); }
inline Tensor operator>(const Tensor& x, double value) { return gt(x, value); }
inline Tensor operator>=(const Tensor& x, double value) { return ge(x, value); }
inline Tensor operator==(double value, const Tensor& x) { return eq(x, value); }
inline Tensor operator!=(double value, const Tensor& x) { return ne(x, value); }
inline Tensor operator<(double value, const Tensor& x) { return gt(x, value); }
inline Tensor operator<=(double value, const Tensor& x) { return ge(x, value); }
inline Tensor operator>(double value, const Tensor& x) { return lt(x, value); }
inline Tensor operator>=(double value, const Tensor& x) { return le(x, value); }
// clang-format on

// An element is true unless it is 0.
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& x);

Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor isfinite(const Tensor& x);  ///< neither NaN nor infinite

/// |a - b| <= atol + rtol * |b|, or equal, or both NaN if `equal_nan`. Integers: in f64.
Tensor isclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8,
               bool equal_nan = false);
/// Whether all elements are close; waits for the device. The shapes may broadcast.
bool allclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false);
/// Whether both tensors have one shape and equal elements; waits for the device.
bool equal(const Tensor& a, const Tensor& b);

/// a where the condition (bool, else throws Error) is true, b elsewhere; all three broadcast, a and
/// b are promoted. A number beside a tensor does not change its dtype, unless that is an integer
/// one that does not hold the number: then the result is f32, as with two numbers.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, double b);
Tensor where(const Tensor& condition, double a, const Tensor& b);
Tensor where(const Tensor& condition, double a, double b);

/// value where the mask (bool, else throws Error) is true, x elsewhere, in x's dtype; both
/// broadcast. Throws Error where an integer dtype does not hold the value.
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);

}  // namespace minidl
