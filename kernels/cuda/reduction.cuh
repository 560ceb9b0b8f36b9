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

#include <limits>

#include "minidl/kernels/common/fold_plan.h"
#include "minidl/kernels/cuda/fold.cuh"
#include "minidl/kernels/cuda/nest.cuh"
#include "minidl/kernels/cuda/vector.cuh"

namespace minidl::kernels::cuda {

/// Counts elements and outputs; its divisions are cheap below 2^31.
using FoldIndex = std::uint64_t;

inline constexpr int kFoldThreads = 256;
inline constexpr std::int64_t kFoldBlocks = 1024;  // keep the largest GPU of today busy

template <class Op>
struct FoldWork {
  static constexpr int kInputs = Op::kInputs;

  DeviceNest<kInputs + 1, FoldIndex> kept;
  DeviceNest<kInputs, FoldIndex> folded;
  FoldIndex outputs, count;
  FoldIndex columns;     ///< outputs side by side: the extent of kept's inner loop
  FoldIndex groups = 0;  ///< of columns, in all rows of columns
  FoldIndex tiles = 0;   ///< blocks' shares of the groups
  FoldIndex chunk = 0;   ///< elements of an output that are folded in one go
  FoldIndex chunks = 1;
  int width = 1;            ///< threads of a team; or threads of a block that lie side by side
  bool vectorized = false;  ///< whether whole groups can be read as 16 bytes
  typename Op::Total* partials = nullptr;  ///< [outputs][chunks]

  explicit FoldWork(const FoldPlan<kInputs>& plan)
      : kept(plan.kept),
        folded(plan.count > 0 ? plan.folded : LoopNest<kInputs>({}, {})),
        outputs(static_cast<FoldIndex>(plan.outputs)),
        count(static_cast<FoldIndex>(plan.count)),
        columns(static_cast<FoldIndex>(plan.kept.inner_extent())) {}
};

template <class Op>
using FoldValues = typename Op::Element[Op::kInputs];

/// Groups in flight. What is not read as vectors makes several accesses of each anyway.
template <bool kVectorized>
inline constexpr int kFoldUnroll = kVectorized ? 4 : 1;

template <class Op>
inline constexpr int kFoldGroup = kVector<typename Op::Element>;

/// values[k] = the elements number k of a group, `steps` apart.
template <bool kVectorized, class Op>
__device__ void load_group(const Op& op, const std::int64_t (&at)[Op::kInputs],
                           const std::int64_t (&steps)[Op::kInputs], int width,
                           FoldValues<Op> (&values)[kFoldGroup<Op>]) {
  using T = typename Op::Element;
  constexpr int kGroup = kFoldGroup<Op>;
#pragma unroll
  for (int n = 0; n < Op::kInputs; ++n) {
    const T* from = op.inputs[n] + at[n];
    if (kVectorized && steps[n] == 1) {
      T group[kGroup];
      load_vector(from, group);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) values[k][n] = group[k];
    } else {
#pragma unroll
      for (int k = 0; k < kGroup; ++k) values[k][n] = k < width ? from[k * steps[n]] : T{};
    }
  }
}

template <class Op>
__device__ void put_total(const Op& op, const FoldWork<Op>& work, FoldIndex output, FoldIndex chunk,
                          const typename Op::Total& total, std::int64_t out) {
  if (work.chunks == 1) {
    op.finish(total, out);
  } else {
    work.partials[static_cast<std::int64_t>(output) * work.chunks + chunk] = total;
  }
}

/// Folds the elements begin..end-1 of the output at `at`, as one of work.width threads.
template <bool kVectorized, class Op>
__device__ typename Op::Total fold_row(const Op& op, const FoldWork<Op>& work,
                                       const std::int64_t (&at)[Op::kInputs + 1], FoldIndex begin,
                                       FoldIndex end, FoldIndex lane) {
  constexpr int N = Op::kInputs;
  constexpr int kGroup = kFoldGroup<Op>;
  const auto local = op.local(at[N]);
  const bool nested = work.folded.loops > 1;
  std::int64_t steps[N];
#pragma unroll
  for (int n = 0; n < N; ++n) steps[n] = work.folded.strides[n][0];
  const auto load = [&](FoldIndex i, FoldValues<Op>(&values)[kGroup]) {
    std::int64_t where[N];
    if (kVectorized || !nested) {
      work.folded.locate(i, where);
#pragma unroll
      for (int n = 0; n < N; ++n) where[n] += at[n];
      load_group<kVectorized>(op, where, steps, kGroup, values);
    } else {
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        work.folded.locate(i + static_cast<FoldIndex>(k), where);
#pragma unroll
        for (int n = 0; n < N; ++n) values[k][n] = op.inputs[n][at[n] + where[n]];
      }
    }
  };

  typename Op::Total total = op.nothing();
  FoldIndex i = begin + lane * kGroup;
  const FoldIndex step = static_cast<FoldIndex>(work.width) * kGroup;
  FoldIndex left = i + kGroup <= end ? (end - kGroup - i) / step + 1 : 0;
  while (left > 0) {
    const int depth = left < Op::kDepth ? static_cast<int>(left) : Op::kDepth;
    FoldValues<Op> values[kGroup];
    typename Op::Block blocks[kGroup];
    load(i, values);
#pragma unroll
    for (int k = 0; k < kGroup; ++k) blocks[k] = op.start(values[k], i + k, local);
    i += step;
#pragma unroll kFoldUnroll < kVectorized>
    for (int d = 1; d < depth; ++d, i += step) {
      load(i, values);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) op.add(blocks[k], values[k], i + k, local);
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) op.flush(blocks[k], depth, total);
    left -= static_cast<FoldIndex>(depth);
  }
  for (; i < end; ++i) {  // the group that the end cuts off
    std::int64_t where[N];
    work.folded.locate(i, where);
    FoldValues<Op> values;
#pragma unroll
    for (int n = 0; n < N; ++n) values[n] = op.inputs[n][at[n] + where[n]];
    op.flush(op.start(values, i, local), 1, total);
  }
  return total;
}

template <class Op>
__global__ void __launch_bounds__(kFoldThreads)
    fold_rows_kernel(const Op op, const __grid_constant__ FoldWork<Op> work) {
  const auto team = static_cast<FoldIndex>(work.width);
  const FoldIndex lane = threadIdx.x % team;
  const FoldIndex teams = blockDim.x / team;
  const FoldIndex tasks = work.outputs * work.chunks;
  const auto join = [&](const auto& a, const auto& b) { return op.join(a, b); };
  for (FoldIndex first = blockIdx.x * teams; first < tasks; first += gridDim.x * teams) {
    const FoldIndex task = first + threadIdx.x / team;
    const FoldIndex output = task / work.chunks;
    const FoldIndex chunk = task - output * work.chunks;
    typename Op::Total total = op.nothing();
    std::int64_t at[Op::kInputs + 1];
    if (task < tasks) {
      work.kept.locate(output, at);
      const FoldIndex begin = chunk * work.chunk;
      const FoldIndex end = work.count - begin < work.chunk ? work.count : begin + work.chunk;
      total = work.vectorized ? fold_row<true>(op, work, at, begin, end, lane)
                              : fold_row<false>(op, work, at, begin, end, lane);
    }
    if (team == kFoldThreads) {
      total = block_fold<kFoldThreads>(total, join);
    } else {
      for (int mask = static_cast<int>(team) / 2; mask > 0; mask /= 2) {
        total = join(total, shuffle_xor(total, mask));
      }
    }
    if (lane == 0 && task < tasks) put_total(op, work, output, chunk, total, at[Op::kInputs]);
  }
}

/// Outputs that lie side by side, as many as a group holds elements.
template <class Op>
struct FoldColumns {
  FoldIndex output;  ///< the first of them
  int width;         ///< how many there are, 0 beyond the last group
  std::int64_t at[Op::kInputs + 1];

  __device__ FoldColumns(const FoldWork<Op>& work, FoldIndex group) {
    constexpr FoldIndex kGroup = kFoldGroup<Op>;
    const FoldIndex per_row = (work.columns + kGroup - 1) / kGroup;
    const FoldIndex row = group / per_row;
    const FoldIndex column = (group - row * per_row) * kGroup;
    const FoldIndex rest = work.columns - column;
    output = row * work.columns + column;
    width = group >= work.groups ? 0 : static_cast<int>(rest < kGroup ? rest : kGroup);
    if (width > 0) work.kept.locate(output, at);
  }
};

/// Folds every `rows`-th of the elements first..end-1 of each column.
template <bool kVectorized, class Op>
__device__ void fold_columns(const Op& op, const FoldWork<Op>& work, const FoldColumns<Op>& columns,
                             FoldIndex first, FoldIndex end, FoldIndex rows,
                             typename Op::Total (&totals)[kFoldGroup<Op>]) {
  constexpr int N = Op::kInputs;
  constexpr int kGroup = kFoldGroup<Op>;
  std::int64_t steps[N];
#pragma unroll
  for (int n = 0; n < N; ++n) steps[n] = work.kept.strides[n][0];
  typename Op::Local locals[kGroup];
#pragma unroll
  for (int k = 0; k < kGroup; ++k) {
    const std::int64_t column = k < columns.width ? k : 0;
    locals[k] = op.local(columns.at[N] + column * work.kept.strides[N][0]);
  }
  const auto load = [&](FoldIndex i, FoldValues<Op>(&values)[kGroup]) {
    std::int64_t at[N];
    work.folded.locate(i, at);
#pragma unroll
    for (int n = 0; n < N; ++n) at[n] += columns.at[n];
    load_group<kVectorized>(op, at, steps, columns.width, values);
  };

  FoldIndex i = first;
  FoldIndex left = first < end ? (end - 1 - first) / rows + 1 : 0;
  while (left > 0) {
    const int depth = left < Op::kDepth ? static_cast<int>(left) : Op::kDepth;
    FoldValues<Op> values[kGroup];
    typename Op::Block blocks[kGroup];
    load(i, values);
#pragma unroll
    for (int k = 0; k < kGroup; ++k) blocks[k] = op.start(values[k], i, locals[k]);
    i += rows;
#pragma unroll kFoldUnroll < kVectorized>
    for (int d = 1; d < depth; ++d, i += rows) {
      load(i, values);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) op.add(blocks[k], values[k], i, locals[k]);
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) op.flush(blocks[k], depth, totals[k]);
    left -= static_cast<FoldIndex>(depth);
  }
}

template <class Op>
__global__ void __launch_bounds__(kFoldThreads)
    fold_columns_kernel(const Op op, const __grid_constant__ FoldWork<Op> work) {
  constexpr int kGroup = kFoldGroup<Op>;
  using Total = typename Op::Total;
  MINIDL_SHARED(Total, parts, [kGroup][kFoldThreads]);
  const int side = work.width;
  const int rows = kFoldThreads / side;
  const int thread = static_cast<int>(threadIdx.x);
  for (FoldIndex task = blockIdx.x; task < work.tiles * work.chunks; task += gridDim.x) {
    const FoldIndex chunk = task / work.tiles;
    const FoldIndex first_group = (task - chunk * work.tiles) * static_cast<FoldIndex>(side);
    const FoldIndex begin = chunk * work.chunk;
    const FoldIndex end = work.count - begin < work.chunk ? work.count : begin + work.chunk;
    {
      const FoldColumns<Op> columns(work, first_group + static_cast<FoldIndex>(thread % side));
      const FoldIndex first = begin + static_cast<FoldIndex>(thread / side);
      Total totals[kGroup];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) totals[k] = op.nothing();
      if (work.vectorized && columns.width == kGroup) {
        fold_columns<true>(op, work, columns, first, end, static_cast<FoldIndex>(rows), totals);
      } else if (columns.width > 0) {
        fold_columns<false>(op, work, columns, first, end, static_cast<FoldIndex>(rows), totals);
      }
#pragma unroll
      for (int k = 0; k < kGroup; ++k) parts[k][thread] = totals[k];
    }
    __syncthreads();
    for (int i = thread; i < side * kGroup; i += kFoldThreads) {
      const int k = i / side;
      const int x = i - k * side;
      const FoldColumns<Op> columns(work, first_group + static_cast<FoldIndex>(x));
      if (k < columns.width) {
        Total total = parts[k][x];
        for (int row = 1; row < rows; ++row) total = op.join(total, parts[k][row * side + x]);
        put_total(op, work, columns.output + static_cast<FoldIndex>(k), chunk, total,
                  columns.at[Op::kInputs] + k * work.kept.strides[Op::kInputs][0]);
      }
    }
    __syncthreads();
  }
}

template <class Op>
__global__ void __launch_bounds__(kFoldThreads)
    join_chunks_kernel(const Op op, const __grid_constant__ FoldWork<Op> work) {
  const FoldIndex lane = threadIdx.x % 32;
  const auto join = [&](const auto& a, const auto& b) { return op.join(a, b); };
  for (FoldIndex output = first_element<FoldIndex>() / 32; output < work.outputs;
       output += element_step<FoldIndex>() / 32) {
    const typename Op::Total* partials =
        work.partials + static_cast<std::int64_t>(output) * work.chunks;
    typename Op::Total total = op.nothing();
    for (FoldIndex chunk = lane; chunk < work.chunks; chunk += 32) {
      total = op.join(total, partials[chunk]);
    }
    total = warp_fold(total, join);
    if (lane == 0) {
      std::int64_t at[Op::kInputs + 1];
      work.kept.locate(output, at);
      op.finish(total, at[Op::kInputs]);
    }
  }
}

inline int power_of_two_up_to(std::int64_t least, int most) {
  int result = 1;
  while (result < least && result < most) result *= 2;
  return result;
}

/// Whether groups of elements along `inner`'s innermost loop lie on 16-byte borders wherever the
/// other loops and `outer` begin; operands that stand still there need not.
template <class Op, int N, int M>
bool groups_are_aligned(const Op& op, const LoopNest<N>& inner, const LoopNest<M>& outer) {
  constexpr std::int64_t kGroup = kFoldGroup<Op>;
  const auto aligned = [](const Strides& strides, int loops) {
    for (int i = 0; i < loops; ++i) {
      if (strides[i] % kGroup != 0) return false;
    }
    return true;
  };
  const int loops = inner.extents.size();
  bool any = false;
  for (int n = 0; n < Op::kInputs; ++n) {
    const auto operand = static_cast<std::size_t>(n);
    const std::int64_t step = inner.inner_stride(n);
    if (step == 0) continue;
    any = true;
    if (step != 1 || !is_aligned(op.inputs[n]) || !aligned(inner.strides[operand], loops - 1) ||
        !aligned(outer.strides[operand], outer.extents.size())) {
      return false;
    }
  }
  return any;
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
  FoldWork<Op> work(plan);
  const bool by_columns = plan.by_columns();
  std::int64_t blocks = 0;
  int threads = kFoldThreads;
  if (by_columns) {
    const std::int64_t columns = plan.kept.inner_extent();
    const std::int64_t groups = plan.outputs / columns * ceil_div(columns, kGroup);
    const int rows = power_of_two_up_to(plan.count, 8);
    work.width = power_of_two_up_to(groups, kFoldThreads / rows);
    const std::int64_t tiles = ceil_div(groups, work.width);
    work.groups = static_cast<FoldIndex>(groups);
    work.tiles = static_cast<FoldIndex>(tiles);
    const std::int64_t rows_of_threads = kFoldThreads / work.width;
    cut_chunks(work, tiles, rows_of_threads, rows_of_threads * kLeastDepth * kGroup);
    work.vectorized = groups_are_aligned(op, plan.kept, plan.folded);
    blocks = tiles * static_cast<std::int64_t>(work.chunks);
  } else {
    constexpr std::int64_t kLongRow = 1024;  // is worth a block
    const bool long_rows = plan.count > kLongRow;
    work.width = long_rows ? kFoldThreads : power_of_two_up_to(ceil_div(plan.count, kGroup), 32);
    const std::int64_t unit = work.width * kGroup;
    cut_chunks(work, plan.outputs, unit, long_rows ? unit * kLeastDepth : kLongRow);
    work.vectorized =
        (plan.folded.extents.size() == 1 || plan.folded.inner_extent() % kGroup == 0) &&
        groups_are_aligned(op, plan.folded, plan.kept);
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
