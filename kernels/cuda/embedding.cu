// Rows of a table, looked up by index, and the gradient of the table.
//
// Forward: a thread copies 16 bytes of the result (elements.cuh). One block looks for the first
// index that names no row; the others' results do not wait for it, and such a position gets zeros.
//
// Backward, without atomics: the positions are sorted by index (sorted_positions.cuh). Sums of
// chunks, 32 sorted positions of one row, go to the workspace; at last each 16 bytes of dweight add
// up, in the order of the positions, what belongs to their row: positions up to a chunk's border,
// whole chunks, positions behind. A row that fills a batch of N takes N / 32 steps rather than N.
//
// Bytes of memory for N positions, V rows of D f32: forward 4 N D read and written, 8 N for the
// indices twice; backward 4 N D read, once more for rows of more than 32 positions, 4 V D written,
// and for the keys 16 N (2 + log2(N / 256)), 8 N + 8 V for the lists.
//
// Versions
//   1: sort by merging, sums in two steps, not measured yet
#include <cstdint>
#include <string>

#include "minidl/kernels/common/indices.h"
#include "minidl/kernels/cuda/fold.cuh"
#include "minidl/kernels/cuda/gather.cuh"
#include "minidl/kernels/cuda/report.cuh"
#include "minidl/kernels/cuda/sorted_positions.cuh"

namespace minidl::kernels::cuda {
namespace {

constexpr int kCheckBlock = 256;
constexpr int kChunk = 32;  // positions that are added up first

struct Smaller {
  __device__ std::int64_t operator()(std::int64_t a, std::int64_t b) const { return b < a ? b : a; }
};

/// What the report of a wrong index is made of: position, index, rows of the table, shape.
struct IndexReport {
  std::int64_t rows, ndim;
  std::int64_t shape[kMaxDims];
  Report report;

  __device__ void write(std::int64_t position, std::int64_t index) const {
    ReportValues values{position, index, rows, ndim};
#pragma unroll
    for (int dim = 0; dim < kMaxDims; ++dim) values[4 + dim] = shape[dim];
    report.write(values);
  }
  static std::string explain(const ReportValues& values) {
    Shape shape;
    for (int dim = 0; dim < values[3]; ++dim) shape.push_back(values[4 + dim]);
    return explain_index(values[0], shape, values[1], values[2]);
  }
};
static_assert(4 + kMaxDims <= kReportValues);

/// One block: finds the first index that names no row.
template <class I>
__global__ void __launch_bounds__(kCheckBlock)
    check_kernel(Positions positions, const I* indices, IndexReport report) {
  std::int64_t first_bad = positions.count;
  for (std::int64_t i = threadIdx.x; i < positions.count && first_bad == positions.count;
       i += kCheckBlock) {
    if (!names_row(indices[positions.index_at(i)], report.rows)) first_bad = i;
  }
  first_bad = block_fold<kCheckBlock>(first_bad, Smaller{});
  if (threadIdx.x == 0 && first_bad < positions.count) {
    report.write(first_bad, indices[positions.index_at(first_bad)]);
  }
}

template <class I>
void check_indices(const ExecContext& ctx, const char* op, const Positions& positions,
                   const View& indices, std::int64_t rows) {
  IndexReport report{rows, indices.ndim(), {}, report_to(ctx, IndexReport::explain)};
  for (int dim = 0; dim < indices.ndim(); ++dim) report.shape[dim] = indices.size(dim);
  launch(linear_launch(ctx, op, 1, kCheckBlock), check_kernel<I>, positions, indices.ptr<I>(),
         report);
}

/// Whether the rows, along the last dimension, can be read in packs.
bool has_aligned_rows(const View& view) {
  return keeps_alignment(view, 0, view.ndim() - 1);
}

template <class T>
struct Lookup {
  const T* weight;
  std::int64_t rows, row_stride;
  bool aligned;

  template <int N, class I>
  __device__ void operator()(Pack<T, N>& out, const Pack<I, N>& index,
                             const Offsets<N>& column) const {
    Pack<T, N> values{};
    if (names_row(index.at[0], rows)) {
      values = load_pack<N>(weight + index.at[0] * row_stride + column.at[0], aligned);
    }
    out = values;
  }
};

/// Gradients of the sorted positions.
template <class T>
struct Gradients {
  const T* dy;
  const std::int64_t* places;
  bool aligned;

  /// Adds those of positions begin..end-1 at N columns.
  template <int N>
  __device__ void add(Pack<T, N>& sum, std::int64_t begin, std::int64_t end,
                      std::int64_t column) const {
#pragma unroll 4
    for (std::int64_t i = begin; i < end; ++i) {
      const Pack<T, N> values = load_pack<N>(dy + places[i] + column, aligned);
#pragma unroll
      for (int k = 0; k < N; ++k) sum.at[k] += values.at[k];
    }
  }
};

/// The sums of the chunks that lie in one row; zeros for the others, which nobody reads.
template <class T>
struct ChunkSums {
  Gradients<T> gradients;
  const Key* keys;
  KeyFormat format;

  template <int N>
  __device__ void operator()(Pack<T, N>& sums, const Offsets<N>& chunk,
                             const Offsets<N>& column) const {
    const std::int64_t begin = chunk.at[0] * kChunk;
    Pack<T, N> sum{};
    if (format.row(keys[begin]) == format.row(keys[begin + kChunk - 1])) {
      gradients.add(sum, begin, begin + kChunk, column.at[0]);
    }
    sums = sum;
  }
};

template <class T>
struct RowSums {
  Gradients<T> gradients;
  const std::int64_t* starts;
  const T* chunks;
  std::int64_t columns, padding_idx;
  bool aligned_chunks;

  template <int N>
  __device__ void operator()(Pack<T, N>& dweight, const Offsets<N>& row, const Offsets<N>& from,
                             const Offsets<N>& column) const {
    const auto sum = sum_of<N>(row.at[0], from.at[0], column.at[0]);
    dweight = sum;
  }

 private:
  template <int N>
  __device__ Pack<T, N> sum_of(std::int64_t row, std::int64_t from, std::int64_t column) const {
    Pack<T, N> sum{};
    if (row == padding_idx) return sum;
    const std::int64_t begin = starts[row];
    const std::int64_t end = starts[row + 1];
    const std::int64_t first_chunk = (begin + kChunk - 1) / kChunk;
    const std::int64_t last_chunk = end / kChunk;
    if (first_chunk >= last_chunk) {
      gradients.add(sum, begin, end, from);
      return sum;
    }
    gradients.add(sum, begin, first_chunk * kChunk, from);
#pragma unroll 4
    for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
      const Pack<T, N> part = load_pack<N>(chunks + chunk * columns + column, aligned_chunks);
#pragma unroll
      for (int k = 0; k < N; ++k) sum.at[k] += part.at[k];
    }
    gradients.add(sum, last_chunk * kChunk, end, from);
    return sum;
  }
};

template <class F>
void visit_index(DType dtype, const F& f) {
  if (dtype == i32) return f(std::int32_t{});
  f(std::int64_t{});
}

/// The indices, each stretched over its row.
View along_rows(View indices, std::int64_t columns) {
  indices.shape.push_back(columns);
  indices.strides.push_back(0);
  return indices;
}

/// Offsets in a matrix [.., columns] along the last of `ndim` dimensions.
Numbers along_last(int ndim, std::int64_t step) {
  Strides strides = Strides::filled(ndim, 0);
  strides.back() = step;
  return Numbers::offsets(strides);
}

}  // namespace

void embedding_forward(ExecContext& ctx, const View& weight, const View& indices, const View& out) {
  constexpr const char* op = "embedding";
  check_index_dtype(indices);
  if (indices.numel() == 0) return;
  visit_float(op, weight.dtype, [&](auto zero) {
    visit_index(indices.dtype, [&](auto index_zero) {
      using T = decltype(zero);
      using I = decltype(index_zero);
      check_indices<I>(ctx, op, Positions(indices, out), indices, weight.size(0));
      const View rows = along_rows(indices, weight.size(1));
      const bool dense = weight.strides[1] == 1 && out.strides.back() == 1;
      for_each_pack_along<16 / sizeof(T)>(
          dense, out.ndim() - 1, ctx, op, out.shape,
          Lookup<T>{weight.ptr<T>(), weight.size(0), weight.strides[0], has_aligned_rows(weight)},
          Writes<T>{out}, Reads<I>{rows}, along_last(out.ndim(), weight.strides[1]));
    });
  });
}

void embedding_backward(ExecContext& ctx, const View& dy, const View& indices,
                        std::int64_t padding_idx, const View& dweight) {
  constexpr const char* op = "embedding backward";
  check_index_dtype(indices);
  const std::int64_t rows = dweight.size(0);
  const std::int64_t columns = dweight.size(1);
  const Positions positions(indices, dy);
  visit_float(op, dy.dtype, [&](auto zero) {
    visit_index(indices.dtype, [&](auto index_zero) {
      using T = decltype(zero);
      using I = decltype(index_zero);
      if (positions.count > 0) check_indices<I>(ctx, op, positions, indices, rows);
      if (dweight.numel() == 0) return;
      const SortedPositions sorted(ctx, op, positions, indices.ptr<I>(), rows);
      const Gradients<T> gradients{dy.ptr<T>(), sorted.places, has_aligned_rows(dy)};

      const Shape chunks_shape{positions.count / kChunk, columns};
      const Buffer buffer =
          ctx.workspace(static_cast<std::size_t>(numel(chunks_shape)) * sizeof(T));
      const View chunks{.data = buffer.data(),
                        .dtype = dy.dtype,
                        .shape = chunks_shape,
                        .strides = contiguous_strides(chunks_shape),
                        .defined = true};
      constexpr int kPack = 16 / sizeof(T);
      const Numbers row = Numbers::offsets({1, 0});
      const Numbers from = along_last(2, dy.strides.back());
      for_each_pack_along<kPack>(dy.strides.back() == 1, 1, ctx, op, chunks.shape,
                                 ChunkSums<T>{gradients, sorted.keys, sorted.format},
                                 Writes<T>{chunks}, row, from);
      for_each_pack_along<kPack>(dy.strides.back() == 1 && dweight.strides[1] == 1, 1, ctx, op,
                                 dweight.shape,
                                 RowSums<T>{gradients, sorted.starts, buffer.as<T>(), columns,
                                            padding_idx, has_aligned_rows(chunks)},
                                 Writes<T>{dweight}, row, from, along_last(2, 1));
    });
  });
}

}  // namespace minidl::kernels::cuda
