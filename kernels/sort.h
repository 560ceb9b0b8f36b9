// Ordering elements along one dimension.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

struct SortParams {
  bool descending = false;
  bool sorted = true;  ///< false: any order will do, as long as it is the same in every run
};

/// values (of x's dtype) and indices (i64), of one shape: of each line of x along `dim` the first
/// elements in order, and where they stood in it: as many as the outputs are long, which is no more
/// than x. Equal elements stay in their order, descending too; NaN is larger than everything and
/// equal to itself. Any of the nine dtypes, any strides; values may be undefined.
using Sort = void(ExecContext&, const SortParams& params, const View& x, int dim,
                  const View& values, const View& indices);

namespace cpu {
Sort sort;
}  // namespace cpu

inline constexpr Entry<Sort> sort{cpu::sort, only_on_cpu("sort")};

}  // namespace minidl::kernels
