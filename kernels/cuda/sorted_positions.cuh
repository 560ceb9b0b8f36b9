// The positions of an embedding's indices, sorted by the row of the table that they name. Not part
// of the public interface.
//
// The pairs (row, position) are sorted as 64-bit keys, which are all different, so that every way
// to sort gives the same. Tiles are sorted by counting who is smaller, then runs are merged in
// pairs: a key's place is its own number plus its rank in the other run. A binary search per row of
// the table finds where its positions start.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <utility>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/view.h"
#include "minidl/kernels/cuda/nest.cuh"

namespace minidl::kernels::cuda {

using Key = std::uint64_t;

/// The positions in row-major order. Operands: the number of the position, its index, its row in
/// the tensor of rows.
struct Positions {
  DeviceNest<3, std::uint64_t> nest;
  std::int64_t count;

  Positions(const View& indices, const View& rows)
      : nest(LoopNest<3>(indices.shape, {contiguous_strides(indices.shape), indices.strides,
                                         rows.strides.slice(0, indices.ndim())})),
        count(indices.numel()) {}

  __device__ std::int64_t index_at(std::int64_t position) const { return locate(position, 1); }
  __device__ std::int64_t row_at(std::int64_t position) const { return locate(position, 2); }

 private:
  __device__ std::int64_t locate(std::int64_t position, int operand) const {
    std::int64_t at[3];
    nest.locate(static_cast<std::uint64_t>(position), at);
    return at[operand];
  }
};

__device__ inline bool names_row(std::int64_t index, std::int64_t rows) {
  return index >= 0 && index < rows;
}

/// Keys: the row in the upper bits (behind the last one for a wrong index), the position below.
struct KeyFormat {
  int position_bits;

  __host__ __device__ Key key(std::int64_t row, std::int64_t position) const {
    return static_cast<Key>(row) << position_bits | static_cast<Key>(position);
  }
  __device__ std::int64_t row(Key key) const {
    return static_cast<std::int64_t>(key >> position_bits);
  }
  __device__ std::int64_t position(Key key) const {
    return static_cast<std::int64_t>(key & ((Key{1} << position_bits) - 1));
  }
};

namespace detail {

inline constexpr int kSortBlock = 256;  // threads, and keys of a tile

/// Sorts tiles of kSortBlock positions.
template <class I>
__global__ void __launch_bounds__(kSortBlock)
    sort_tiles_kernel(Positions positions, const I* indices, std::int64_t rows, KeyFormat format,
                      Key* out) {
  MINIDL_SHARED(Key, keys, [kSortBlock]);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t step = std::int64_t{gridDim.x} * kSortBlock;
  for (std::int64_t begin = std::int64_t{blockIdx.x} * kSortBlock; begin < positions.count;
       begin += step) {
    const std::int64_t rest = positions.count - begin;
    const int size = rest < kSortBlock ? static_cast<int>(rest) : kSortBlock;
    Key mine = 0;
    if (thread < size) {
      const std::int64_t index = indices[positions.index_at(begin + thread)];
      mine = format.key(names_row(index, rows) ? index : rows, begin + thread);
      keys[thread] = mine;
    }
    __syncthreads();
    if (thread < size) {
      int smaller = 0;
      for (int i = 0; i < size; ++i) smaller += keys[i] < mine ? 1 : 0;
      out[begin + smaller] = mine;
    }
    __syncthreads();  // before the next tile's keys
  }
}

/// The first of the sorted keys begin..end-1 that is not below `key`.
template <class K>
__device__ std::int64_t lower_bound(const K* keys, std::int64_t begin, std::int64_t end, K key) {
  while (begin < end) {
    const std::int64_t middle = begin + (end - begin) / 2;
    if (keys[middle] < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// Merges sorted runs of the given length in pairs.
template <class K>
__global__ void __launch_bounds__(kSortBlock)
    merge_kernel(const K* in, std::int64_t count, std::int64_t length, K* out) {
  const auto step = element_step<std::int64_t>();
  for (auto i = first_element<std::int64_t>(); i < count; i += step) {
    const std::int64_t run = i / length;
    const std::int64_t other = (run ^ 1) * length;
    const std::int64_t other_begin = other < count ? other : count;
    const std::int64_t other_end = other + length < count ? other + length : count;
    const std::int64_t rank = lower_bound(in, other_begin, other_end, in[i]) - other_begin;
    const std::int64_t pair = run / 2 * 2 * length;
    out[pair + (i - run * length) + rank] = in[i];
  }
}

/// starts[row]: the number of the first sorted key of each row, up to `rows`, the first behind.
/// places[i]: where the i-th sorted position's gradients lie.
template <class K>
__global__ void __launch_bounds__(kSortBlock)
    lists_kernel(Positions positions, const K* keys, KeyFormat format, std::int64_t rows,
                 std::int64_t* starts, std::int64_t* places) {
  const auto step = element_step<std::int64_t>();
  for (auto row = first_element<std::int64_t>(); row <= rows; row += step) {
    starts[row] = lower_bound(keys, 0, positions.count, format.key(row, 0));
  }
  for (auto i = first_element<std::int64_t>(); i < positions.count; i += step) {
    places[i] = positions.row_at(format.position(keys[i]));
  }
}

}  // namespace detail

/// The positions of `indices` sorted by row, in device memory.
class SortedPositions {
 public:
  KeyFormat format;
  const Key* keys;
  const std::int64_t* starts;
  const std::int64_t* places;

  template <class I>
  SortedPositions(const ExecContext& ctx, const char* op, const Positions& positions,
                  const I* indices, std::int64_t rows)
      : format{static_cast<int>(std::bit_width(static_cast<Key>(positions.count)))},
        sorted_(room<Key>(ctx, positions.count)),
        merged_(room<Key>(ctx, positions.count)),
        starts_(room<std::int64_t>(ctx, rows + 1)),
        places_(room<std::int64_t>(ctx, positions.count)) {
    const std::int64_t count = positions.count;
    check(rows <= std::numeric_limits<std::int64_t>::max() >> format.position_bits,
          "{}: a table of {} rows and {} indices are too many to sort", op, rows, count);
    launch(linear_launch(ctx, op, ceil_div(count, detail::kSortBlock), detail::kSortBlock),
           detail::sort_tiles_kernel<I>, positions, indices, rows, format, sorted_.as<Key>());
    const auto over = [&](std::int64_t elements) {
      return linear_launch(ctx, op, ceil_div(elements, detail::kSortBlock), detail::kSortBlock);
    };
    for (std::int64_t length = detail::kSortBlock; length < count; length *= 2) {
      launch(over(count), detail::merge_kernel<Key>, sorted_.as<Key>(), count, length,
             merged_.as<Key>());
      std::swap(sorted_, merged_);
    }
    keys = sorted_.as<Key>();
    launch(over(std::max(count, rows + 1)), detail::lists_kernel<Key>, positions, keys, format,
           rows, starts_.as<std::int64_t>(), places_.as<std::int64_t>());
    starts = starts_.as<std::int64_t>();
    places = places_.as<std::int64_t>();
  }

 private:
  template <class T>
  static Buffer room(const ExecContext& ctx, std::int64_t count) {
    return ctx.workspace(static_cast<std::size_t>(count) * sizeof(T));
  }

  Buffer sorted_, merged_, starts_, places_;
};

}  // namespace minidl::kernels::cuda
