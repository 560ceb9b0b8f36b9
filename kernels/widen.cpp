// Not in common/, because it calls `copy`.
#include "minidl/kernels/common/widen.h"

#include "minidl/kernels/copy.h"

namespace minidl::kernels {
namespace {

/// `view` without what is stretched: extents of 1 there.
View unstretched(const View& view) {
  View once = view;
  for (int dim = 0; dim < view.ndim(); ++dim) {
    if (view.strides[dim] == 0 && view.shape[dim] > 1) once.shape[dim] = 1;
  }
  return once;
}

}  // namespace

WidenedViews::WidenedViews(ExecContext& ctx, std::span<View* const> views, const Widening& how)
    : ctx_(ctx) {
  const std::size_t first_result = views.size() - static_cast<std::size_t>(how.results);
  for (std::size_t i = 0; i < views.size(); ++i) {
    View& view = *views[i];
    if (!widening::holds_16_bit(view)) continue;
    const View given = unstretched(view);
    View wide = given;
    wide.dtype = f32;
    wide.strides = strides_like(given.shape, given.strides);
    memory_.push_back(ctx.workspace(static_cast<std::size_t>(given.numel()) * sizeof(float)));
    wide.data = memory_.back().data();
    const bool is_result = i >= first_result;
    if (!is_result || how.in_place) copy(ctx, given, wide);
    if (is_result) results_.push_back({given, wide});
    for (int dim = 0; dim < view.ndim(); ++dim) {
      if (given.shape[dim] != view.shape[dim]) wide.strides[dim] = 0;
    }
    wide.shape = view.shape;
    view = wide;
  }
}

void WidenedViews::round_results() {
  for (const Result& result : results_) copy(ctx_, result.wide, result.given);
}

}  // namespace minidl::kernels
