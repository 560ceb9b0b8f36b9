// Folding dimensions away.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

enum class ReduceOp { sum, mean, max, min };

/// "sum", "mean", …
const char* name(ReduceOp op);

/// Folds x into out. out has x's rank; its extent is 1 in every folded dimension and x's extent in
/// the others. f32 sums accumulate in blocks so that the error does not grow with the count; the
/// order of the sum depends on the shape only, never on the number of threads. An empty sum is 0,
/// an empty mean NaN; an empty max or min throws. sum, max and min take f32, f64, i32, i64; mean
/// f32, f64. max and min return NaN where there is one.
using Reduce = void(ExecContext&, ReduceOp op, const View& x, const View& out);

/// out (i64; x's rank with extent 1 at `dim`) = index of the first largest element along `dim`; NaN
/// counts as the largest. Throws where x's extent at `dim` is 0 and out is not empty.
using Argmax = void(ExecContext&, const View& x, int dim, const View& out);

/// The same for the first smallest element; NaN counts as the smallest.
using Argmin = void(ExecContext&, const View& x, int dim, const View& out);

/// x and out bool, of shapes as in Reduce: whether any, or every, element is true. Of none: false,
/// and true.
using ReduceBool = void(ExecContext&, const View& x, const View& out);

/// The product, in shapes and in an order as Reduce's; floating-point numbers accumulate in f64,
/// integers wrap around. An empty product is 1. f32, f64, i32, i64.
using Prod = void(ExecContext&, const View& x, const View& out);

namespace cpu {
Reduce reduce;
Argmax argmax;
Argmin argmin;
ReduceBool any;
ReduceBool all;
Prod prod;
}  // namespace cpu

namespace cuda {
Reduce reduce;
Argmax argmax;
Argmin argmin;
ReduceBool any;
ReduceBool all;
}  // namespace cuda

inline constexpr Entry<Reduce> reduce{cpu::reduce, cuda::reduce, writes_last(1)};
inline constexpr Entry<Argmax> argmax{cpu::argmax, cuda::argmax, writes_last(1)};
inline constexpr Entry<Argmin> argmin{cpu::argmin, cuda::argmin, writes_last(1)};
inline constexpr Entry<ReduceBool> any{cpu::any, cuda::any};
inline constexpr Entry<ReduceBool> all{cpu::all, cuda::all};
inline constexpr Entry<Prod> prod{cpu::prod, only_on_cpu("prod"), writes_last(1)};

}  // namespace minidl::kernels
