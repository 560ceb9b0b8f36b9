// The kernels behind reduction.cuh, which says who does what. Not part of the public interface.
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
inline constexpr int kFoldResident = 2;  // blocks of an SM: without it ptxas spills rather than ask
inline constexpr std::int64_t kFoldLongRow = 1024;  // longer ones are worth a block
inline constexpr std::int64_t kFoldBlocks = 1024;   // keep the largest GPU of today busy

/// The Local of reductions that need none.
struct NoLocal {};

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

/// values[k] = the elements number k of a group, `steps` apart, of N inputs.
template <bool kVectorized, int kGroup, class T, int N>
__device__ void load_group(const T* const* inputs, const std::int64_t* at,
                           const std::int64_t* steps, int width, T (&values)[kGroup][N]) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
    const T* from = inputs[n] + at[n];
    if constexpr (kVectorized) {
      if (steps[n] == 1) {
        T group[kGroup];
        load_vector(from, group);
#pragma unroll
        for (int k = 0; k < kGroup; ++k) values[k][n] = group[k];
        continue;
      }
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) values[k][n] = k < width ? from[k * steps[n]] : T{};
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

/// Folds the elements begin..end-1 of the row at `at`, as number `lane` of a team of `team`
/// threads. `folded` may have more operands than Op has inputs.
template <bool kVectorized, class Op, int M>
__device__ typename Op::Total fold_row(const Op& op, const DeviceNest<M, FoldIndex>& folded,
                                       const std::int64_t* at, FoldIndex begin, FoldIndex end,
                                       FoldIndex lane, FoldIndex team,
                                       const typename Op::Local& local) {
  constexpr int N = Op::kInputs;
  constexpr int kGroup = kFoldGroup<Op>;
  const bool nested = folded.loops > 1;
  std::int64_t steps[N];
#pragma unroll
  for (int n = 0; n < N; ++n) steps[n] = folded.strides[n][0];
  const auto load = [&](FoldIndex i, FoldValues<Op>(&values)[kGroup]) {
    std::int64_t where[M];
    if (kVectorized || !nested) {
      folded.locate(i, where);
#pragma unroll
      for (int n = 0; n < N; ++n) where[n] += at[n];
      load_group<kVectorized>(op.inputs, where, steps, kGroup, values);
    } else {
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        folded.locate(i + static_cast<FoldIndex>(k), where);
#pragma unroll
        for (int n = 0; n < N; ++n) values[k][n] = op.inputs[n][at[n] + where[n]];
      }
    }
  };

  typename Op::Total total = op.nothing();
  FoldIndex i = begin + lane * kGroup;
  const FoldIndex step = team * kGroup;
  FoldIndex left = i + kGroup <= end ? (end - kGroup - i) / step + 1 : 0;
  while (left > 0) {
    const int depth = left < Op::kDepth ? static_cast<int>(left) : Op::kDepth;
    FoldValues<Op> values[kGroup];
    typename Op::Block blocks[kGroup];
    load(i, values);
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      blocks[k] = op.start(values[k], static_cast<std::int64_t>(i) + k, local);
    }
    i += step;
#pragma unroll kFoldUnroll < kVectorized>
    for (int d = 1; d < depth; ++d, i += step) {
      load(i, values);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        op.add(blocks[k], values[k], static_cast<std::int64_t>(i) + k, local);
      }
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) op.flush(blocks[k], depth, total);
    left -= static_cast<FoldIndex>(depth);
  }
  for (; i < end; ++i) {  // the group that the end cuts off
    std::int64_t where[M];
    folded.locate(i, where);
    FoldValues<Op> values;
#pragma unroll
    for (int n = 0; n < N; ++n) values[n] = op.inputs[n][at[n] + where[n]];
    op.flush(op.start(values, static_cast<std::int64_t>(i), local), 1, total);
  }
  return total;
}

/// The Totals of a team, joined; by all threads of the block.
template <class Op>
__device__ typename Op::Total join_team(const Op& op, typename Op::Total total, int team) {
  const auto join = [&](const auto& a, const auto& b) { return op.join(a, b); };
  if (team == kFoldThreads) return block_fold<kFoldThreads>(total, join);
  for (int mask = team / 2; mask > 0; mask /= 2) total = join(total, shuffle_xor(total, mask));
  return total;
}

template <class Op>
__global__ void __launch_bounds__(kFoldThreads, kFoldResident)
    fold_rows_kernel(const __grid_constant__ Op op, const __grid_constant__ FoldWork<Op> work) {
  const auto team = static_cast<FoldIndex>(work.width);
  const FoldIndex lane = threadIdx.x % team;
  const FoldIndex teams = blockDim.x / team;
  const FoldIndex tasks = work.outputs * work.chunks;
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
      const auto local = op.local(at[Op::kInputs]);
      total = work.vectorized ? fold_row<true>(op, work.folded, at, begin, end, lane, team, local)
                              : fold_row<false>(op, work.folded, at, begin, end, lane, team, local);
    }
    total = join_team(op, total, work.width);
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
    load_group<kVectorized>(op.inputs, at, steps, columns.width, values);
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
__global__ void __launch_bounds__(kFoldThreads, kFoldResident)
    fold_columns_kernel(const __grid_constant__ Op op, const __grid_constant__ FoldWork<Op> work) {
  constexpr int kGroup = kFoldGroup<Op>;
  using Total = typename Op::Total;
  MINIDL_SHARED(Total, parts, [kGroup][kFoldThreads]);
  const int side = work.width;
  const int rows = static_cast<int>(blockDim.x) / side;
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
    for (int i = thread; i < side * kGroup; i += rows * side) {
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
__global__ void __launch_bounds__(kFoldThreads, kFoldResident)
    join_chunks_kernel(const __grid_constant__ Op op, const __grid_constant__ FoldWork<Op> work) {
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

}  // namespace minidl::kernels::cuda
