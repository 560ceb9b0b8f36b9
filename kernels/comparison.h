// Comparisons, whose results are bool, and choosing between elements by bool.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

enum class CompareOp { eq, ne, lt, le, gt, ge };

/// "eq", "ne", …
const char* name(CompareOp op);

enum class NumberClass { nan, inf, finite };

/// "isnan", "isinf", "isfinite"
const char* name(NumberClass what);

// NaN is equal to nothing, and neither less nor greater.

/// out (bool) = op(a, b). a and b: stretched to out's shape where a stride is 0, one dtype, any but
/// f16 and bf16.
using Compare = void(ExecContext&, CompareOp op, const View& a, const View& b, const View& out);

/// out (bool) = op(a, b) for the number b, converted to a's dtype as in Copy.
using CompareNumber = void(ExecContext&, CompareOp op, const View& a, double b, const View& out);

/// out (bool) = whether x (f32, f64) is a NaN, an infinity, or neither.
using Classify = void(ExecContext&, NumberClass what, const View& x, const View& out);

/// out = condition ? a : b. condition (bool), a and b (out's dtype, any) are stretched to out's
/// shape where a stride is 0.
using Where = void(ExecContext&, const View& condition, const View& a, const View& b,
                   const View& out);

/// out = mask == filled ? value : x. x (out's dtype, any) and mask (bool) are stretched to out's
/// shape where a stride is 0; value is converted as in Copy.
using MaskedFill = void(ExecContext&, const View& x, const View& mask, bool filled, double value,
                        const View& out);

namespace cpu {
Compare compare;
CompareNumber compare_number;
Classify classify;
Where where;
MaskedFill masked_fill;
}  // namespace cpu

namespace cuda {
Compare compare;
CompareNumber compare_number;
Classify classify;
Where where;
MaskedFill masked_fill;
}  // namespace cuda

inline constexpr Entry<Compare> compare{cpu::compare, cuda::compare, writes_last(1)};
inline constexpr Entry<CompareNumber> compare_number{cpu::compare_number, cuda::compare_number,
                                                     writes_last(1)};
inline constexpr Entry<Classify> classify{cpu::classify, cuda::classify, writes_last(1)};
inline constexpr Entry<Where> where{cpu::where, cuda::where};
inline constexpr Entry<MaskedFill> masked_fill{cpu::masked_fill, cuda::masked_fill};

}  // namespace minidl::kernels
