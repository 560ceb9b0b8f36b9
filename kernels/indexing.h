// Elements named by indices along one dimension.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// index: i64, any strides; of the rank of the tensor that it names elements of, and outside `dim`
// no longer than that. Both kernels throw Error where an index is outside 0..extent-1: it names
// `op`, the first such index, where it stands (dimensions along which the indices are stretched
// are left out) and the dimension. What was written until then is lost.

/// out[..., i, ...] = x[..., index[..., i, ...], ...], the two positions being those of `dim`. out
/// has index's shape and x's dtype, any of the nine; all operands any strides.
using Gather = void(ExecContext&, const char* op, const View& x, int dim, const View& index,
                    const View& out);

enum class ScatterOp { assign, add };

/// Changes out in place: out[..., index[..., i, ...], ...] = or += src[..., i, ...]. src has
/// index's shape and out's dtype: any to assign, any but bool to add; integers wrap around. Where
/// indices name one element several times, the last one along `dim` is assigned, and all are added
/// in their order along `dim`, in the dtype (the 16-bit ones round after each), whatever the number
/// of threads.
using Scatter = void(ExecContext&, const char* op, ScatterOp how, int dim, const View& index,
                     const View& src, const View& out);

namespace cpu {
Gather gather;
Scatter scatter;
}  // namespace cpu

inline constexpr Entry<Gather> gather{cpu::gather, only_on_cpu("gather")};
inline constexpr Entry<Scatter> scatter{cpu::scatter, only_on_cpu("scatter")};

}  // namespace minidl::kernels
