// Reductions over any dimensions of strided operands: what reduce.cu, batch_norm.cu and
// layer_norm.cu are made of. Not part of the public interface.
//
// A reduction is an object that goes to the device:
//
//     struct Op {
//       using Element = float;           // of the inputs
//       static constexpr int kInputs;
//       static constexpr int kDepth;     // elements that a Block takes
//       using Local, Block, Total;       // trivial types, Total of 4n bytes
//       const Element* inputs[kInputs];
//       Local local(int64 out) const;                        what an output's elements share
//       Block start(values, int64 index, local) const;       of one element
//       void add(Block&, values, int64 index, local) const;  in the element type
//       Total nothing() const;
//       void flush(const Block&, int count, Total&) const;   a Block joins, in f64 for f32
//       Total join(const Total&, const Total&) const;        commutative
//       void finish(const Total&, int64 out) const;          writes
//     };
//
// `out` is the offset of the output in the last operand of the plan's kept nest, `index` the
// number of the element among those of its output.
//
// Rows: a team of 1 to 32 threads, or a block of 256, takes an output. Its threads read groups of
// 16 bytes side by side. Columns: outputs lie side by side in memory, so a block takes up to 32
// groups of 16 bytes of them, its rows of threads every 8th (or so) element of each; the rows of
// threads meet in shared memory. Where that makes fewer than kFoldBlocks blocks, elements are cut
// into chunks for several blocks, which write their Totals aside; a second kernel joins these, a
// warp per output. Cuts and orders follow from the shape and the nesting of the strides: not from
// the GPU, and not from the alignment, which only decides how a group is read.
#pragma once

#include <algorithm>
#include <array>

#include "minidl/kernels/cuda/reduction_kernels.cuh"

namespace minidl::kernels::cuda {

inline int power_of_two_up_to(std::int64_t least, int most) {
  int result = 1;
  while (result < least && result < most) result *= 2;
  return result;
}

/// Threads that share a row of `count` elements.
inline int team_of(std::int64_t count, std::int64_t group) {
  return count > kFoldLongRow ? kFoldThreads : power_of_two_up_to(ceil_div(count, group), 32);
}

/// Whether groups of elements along `inner`'s innermost loop lie on 16-byte borders wherever the
/// other loops and `outer` begin; operands that stand still along it need not.
template <std::size_t K, int N, int M>
bool groups_are_aligned(const std::array<const void*, K>& data, std::int64_t group,
                        const LoopNest<N>& inner, const LoopNest<M>& outer) {
  const auto aligned = [&](const Shape& extents, const Strides& strides, int loops) {
    for (int i = 0; i < loops; ++i) {
      if (extents[i] > 1 && strides[i] % group != 0) return false;
    }
    return true;
  };
  bool any = false;
  for (std::size_t n = 0; n < K; ++n) {
    const std::int64_t step = inner.inner_stride(static_cast<int>(n));
    if (step == 0) continue;
    any = true;
    if (step != 1 || !is_aligned(data[n]) ||
        !aligned(inner.extents, inner.strides[n], inner.extents.size() - 1) ||
        !aligned(outer.extents, outer.strides[n], outer.extents.size())) {
      return false;
    }
  }
  return any;
}

/// Whether such groups also divide the loop, or run over its end only where it is the only one.
template <int N>
bool groups_fit(const LoopNest<N>& nest, std::int64_t group) {
  return nest.extents.size() == 1 || nest.inner_extent() % group == 0;
}

/// Cuts `count` elements into chunks of a multiple of `unit` so that, with `tiles` blocks for each,
/// there is work for the whole GPU, but at least `least` elements in one.
template <class Op>
void cut_chunks(FoldWork<Op>& work, std::int64_t tiles, std::int64_t unit, std::int64_t least) {
  const auto count = static_cast<std::int64_t>(work.count);
  const std::int64_t wanted =
      std::clamp(ceil_div(count, least), std::int64_t{1}, ceil_div(kFoldBlocks, tiles));
  const std::int64_t chunk = ceil_div(ceil_div(count, wanted), unit) * unit;
  work.chunk = static_cast<FoldIndex>(std::max(chunk, unit));
  work.chunks = static_cast<FoldIndex>(std::max(ceil_div(count, work.chunk), std::int64_t{1}));
}

/// Queues the reduction.
template <class Op>
void fold(const ExecContext& ctx, const char* name, const Op& op,
          const FoldPlan<Op::kInputs>& plan) {
  constexpr std::int64_t kGroup = kFoldGroup<Op>;
  constexpr std::int64_t kLeastDepth = 4;  // elements of a thread that are worth another block
  if (plan.outputs == 0) return;
  std::array<const void*, Op::kInputs> data;
  std::copy_n(op.inputs, Op::kInputs, data.begin());
  FoldWork<Op> work(plan);
  const bool by_columns = plan.by_columns();
  std::int64_t blocks = 0;
  int threads = kFoldThreads;
  if (by_columns) {
    const std::int64_t columns = plan.kept.inner_extent();
    const std::int64_t groups = plan.outputs / columns * ceil_div(columns, kGroup);
    constexpr int kLeastRows = 8;  // of threads, if there are elements for them
    const int rows = power_of_two_up_to(plan.count, kLeastRows);
    work.width = power_of_two_up_to(groups, kFoldThreads / rows);
    const std::int64_t tiles = ceil_div(groups, work.width);
    work.groups = static_cast<FoldIndex>(groups);
    work.tiles = static_cast<FoldIndex>(tiles);
    const int rows_of_threads = power_of_two_up_to(plan.count, kFoldThreads / work.width);
    cut_chunks(work, tiles, rows_of_threads, rows_of_threads * kLeastDepth * kGroup);
    threads = work.width * rows_of_threads;
    work.vectorized = groups_are_aligned(data, kGroup, plan.kept, plan.folded);
    blocks = tiles * static_cast<std::int64_t>(work.chunks);
  } else {
    work.width = team_of(plan.count, kGroup);
    const std::int64_t unit = work.width * kGroup;
    const bool whole_blocks = work.width == kFoldThreads;
    cut_chunks(work, plan.outputs, unit, whole_blocks ? unit * kLeastDepth : kFoldLongRow);
    work.vectorized =
        groups_fit(plan.folded, kGroup) && groups_are_aligned(data, kGroup, plan.folded, plan.kept);
    const std::int64_t all = plan.outputs * static_cast<std::int64_t>(work.chunks) * work.width;
    threads = static_cast<int>(std::min<std::int64_t>(ceil_div(all, 32) * 32, kFoldThreads));
    blocks = ceil_div(all, threads);
  }
  Buffer partials;
  if (work.chunks > 1) {
    partials = ctx.workspace(static_cast<std::size_t>(plan.outputs * work.chunks) *
                             sizeof(typename Op::Total));
    work.partials = partials.template as<typename Op::Total>();
  }
  const auto kernel = by_columns ? fold_columns_kernel<Op> : fold_rows_kernel<Op>;
  launch(linear_launch(ctx, name, blocks, threads), kernel, op, work);
  if (work.chunks > 1) {
    constexpr int kJoinThreads = 128;
    launch(linear_launch(ctx, name, ceil_div(plan.outputs * 32, kJoinThreads), kJoinThreads),
           join_chunks_kernel<Op>, op, work);
  }
}

}  // namespace minidl::kernels::cuda
