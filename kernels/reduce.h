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

namespace cpu {
Reduce reduce;
Argmax argmax;
}  // namespace cpu

namespace cuda {
Reduce reduce;
Argmax argmax;
}  // namespace cuda

inline constexpr Entry<Reduce> reduce{cpu::reduce, cuda::reduce};
inline constexpr Entry<Argmax> argmax{cpu::argmax, cuda::argmax};

}  // namespace minidl::kernels
