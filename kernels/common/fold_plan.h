// How a reduction walks over its operands. Not part of the public interface.
#pragma once

#include "minidl/kernels/common/loop_nest.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// What is left of N operands of one shape, and what is folded away: for each step of `kept` all of
/// `folded`. The last operand of `kept` is the result.
template <int N>
struct FoldPlan {
  LoopNest<N + 1> kept;
  LoopNest<N> folded;
  std::int64_t outputs;
  std::int64_t count;  ///< elements of each operand for an output

  FoldPlan(const Shape& kept_shape, const std::array<Strides, N + 1>& kept_strides,
           const Shape& folded_shape, const std::array<Strides, N>& folded_strides)
      : kept(kept_shape, kept_strides),
        folded(folded_shape, folded_strides),
        outputs(numel(kept_shape)),
        count(numel(folded_shape)) {}

  /// Whether neighbours in memory go to different outputs.
  bool by_columns() const {
    const std::int64_t step = kept.inner_stride(0);
    return kept.inner_extent() > 1 && step > 0 && (step < folded.inner_stride(0) || count == 1);
  }
};

/// For x folded into out: of x's rank, with extent 1 where a dimension is folded away.
inline FoldPlan<1> plan_reduce(const View& x, const View& out) {
  Shape kept;
  Shape folded;
  std::array<Strides, 2> kept_strides;
  Strides folded_strides;
  for (int dim = 0; dim < x.ndim(); ++dim) {
    if (out.size(dim) == x.size(dim)) {
      kept.push_back(x.size(dim));
      kept_strides[0].push_back(x.strides[dim]);
      kept_strides[1].push_back(out.strides[dim]);
    } else {
      folded.push_back(x.size(dim));
      folded_strides.push_back(x.strides[dim]);
    }
  }
  return {kept, kept_strides, folded, {folded_strides}};
}

}  // namespace minidl::kernels
