#include "minidl/kernels/embedding.h"

#include <algorithm>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/indices.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

/// The indices in logical order, each one a row of the table.
class Indices {
 public:
  Indices(ExecContext& ctx, const View& indices, std::int64_t table_rows)
      : shape_(indices.shape),
        memory_(ctx.workspace(static_cast<std::size_t>(indices.numel()) * sizeof(std::int64_t))) {
    check_index_dtype(indices);
    kernels::copy(ctx, indices,
                  {.data = memory_.data(),
                   .dtype = i64,
                   .shape = shape_,
                   .strides = contiguous_strides(shape_),
                   .defined = true});
    for (std::int64_t i = 0; i < count(); ++i) {
      if ((*this)[i] >= 0 && (*this)[i] < table_rows) continue;
      throw Error(explain_index(i, shape_, (*this)[i], table_rows));
    }
  }

  std::int64_t count() const { return numel(shape_); }
  std::int64_t operator[](std::int64_t i) const { return memory_.as<std::int64_t>()[i]; }

  /// The positions in logical order; operands: the number of the position, its row in `rows`.
  LoopNest<2> positions(const View& rows) const {
    return {shape_, {contiguous_strides(shape_), rows.strides.slice(0, shape_.size())}};
  }

 private:
  Shape shape_;
  Buffer memory_;
};

}  // namespace

void embedding_forward(ExecContext& ctx, const View& weight, const View& indices, const View& out) {
  const Indices list(ctx, indices, weight.size(0));
  const std::int64_t width = weight.size(1);
  const std::int64_t from_step = weight.strides[1];
  const std::int64_t to_step = out.strides.back();
  const LoopNest<2> positions = list.positions(out);
  visit_dtype(weight.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto copy_rows = [&](auto at, std::int64_t count) {
      for (; count > 0; --count) {
        const T* from = weight.ptr<T>() + list[at[0]] * weight.strides[0];
        T* to = out.ptr<T>() + at[1];
        if (from_step == 1 && to_step == 1) {
          std::copy_n(from, width, to);
        } else {
          for (std::int64_t i = 0; i < width; ++i) to[i * to_step] = from[i * from_step];
        }
        for (int i = 0; i < 2; ++i) at[static_cast<std::size_t>(i)] += positions.inner_stride(i);
      }
    };
    for_each_row(positions, kGrain / std::max<std::int64_t>(width, 1), copy_rows);
  });
}

// Each thread adds up some columns for all positions: no two write to one element, and each element
// sees the positions in order.
void embedding_backward(ExecContext& ctx, const View& dy, const View& indices,
                        std::int64_t padding_idx, const View& dweight) {
  const Indices list(ctx, indices, dweight.size(0));
  const std::int64_t from_step = dy.strides.back();
  const std::int64_t to_step = dweight.strides[1];
  const LoopNest<2> positions = list.positions(dy);
  kernels::fill(ctx, dweight, 0);
  visit_float("embedding backward", dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t grain = kGrain / std::max<std::int64_t>(list.count(), 1);
    parallel_for(dweight.size(1), grain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t width = end - begin;
      walk_rows(positions, 0, list.count(), [&](auto at, std::int64_t count) {
        for (; count > 0; --count) {
          const std::int64_t index = list[at[0]];
          const T* from = dy.ptr<T>() + at[1] + begin * from_step;
          T* to = dweight.ptr<T>() + index * dweight.strides[0] + begin * to_step;
          for (int i = 0; i < 2; ++i) at[static_cast<std::size_t>(i)] += positions.inner_stride(i);
          if (index == padding_idx) continue;
          if (from_step == 1 && to_step == 1) {
            for (std::int64_t i = 0; i < width; ++i) to[i] += from[i];
          } else {
            for (std::int64_t i = 0; i < width; ++i) to[i * to_step] += from[i * from_step];
          }
        }
      });
    });
  });
}

}  // namespace minidl::kernels::cpu
