// Elements picked and placed by tensors of positions.
#pragma once

#include <span>

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// Which dimensions of a tensor x are indexed and by what: `positions[i]` (i64, all of one shape P)
/// along dimension first + i. Negative ones count from the end.
struct IndexedDims {
  int first = 0;
  std::span<const View> positions;
  /// What errors call the indexed dimensions.
  Dims names;
};

// x[A..., indexed..., C...] with the leading dimensions A and the trailing ones C; the elements
// picked from it have the shape [A..., P..., C...]. All throw Error naming position, dimension and
// extent where a position is out of range, before anything is written. Any dtype, any strides.

/// out = x at the positions.
using IndexGet = void(ExecContext&, const View& x, const IndexedDims& dims, const View& out);

/// x at the positions = values (one dtype). Where a position comes twice, the last one stays, in
/// row-major order of P.
using IndexPut = void(ExecContext&, const View& values, const IndexedDims& dims, const View& x);

/// x at the positions += values (one dtype: f32, f64, i32, i64), one after the other in row-major
/// order of P.
using IndexAdd = void(ExecContext&, const View& values, const IndexedDims& dims, const View& x);

namespace cpu {
IndexGet index_get;
IndexPut index_put;
IndexAdd index_add;
}  // namespace cpu

inline constexpr Entry<IndexGet> index_get{cpu::index_get, only_on_cpu("index")};
inline constexpr Entry<IndexPut> index_put{cpu::index_put, only_on_cpu("index_put_")};
inline constexpr Entry<IndexAdd> index_add{cpu::index_add, only_on_cpu("index_put_"),
                                           changes_last(1)};

}  // namespace minidl::kernels
