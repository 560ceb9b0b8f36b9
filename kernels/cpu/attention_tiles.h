// What both directions of attention share: operands with dense rows, products of tiles, scores.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "minidl/kernels/attention.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/draw_row.h"
#include "minidl/kernels/cpu/gemm.h"
#include "minidl/kernels/cpu/onednn.h"
#include "minidl/kernels/cpu/vector_rows.h"

namespace minidl::kernels::cpu {

// The extents of a tile of scores: 64 KiB in f32, so that two of them and their operands stay in
// the second-level cache.
inline constexpr std::int64_t kTileQueries = 64;
inline constexpr std::int64_t kTileKeys = 256;

inline std::int64_t tiles_of(std::int64_t extent, std::int64_t tile) {
  return (extent + tile - 1) / tile;
}

/// Whether the elements of a row lie side by side, and rows do not overlap.
inline bool has_dense_rows(const View& view) {
  const int last = view.ndim() - 1;
  return (view.size(last) <= 1 || view.strides[last] == 1) &&
         (view.size(last - 1) <= 1 || view.strides[last - 1] >= view.size(last));
}

/// `view` with strides that matrix products take: those along extents of 1 mean nothing.
inline View with_plain_rows(View view) {
  const int last = view.ndim() - 1;
  view.strides[last] = 1;
  if (view.size(last - 1) <= 1) view.strides[last - 1] = std::max<std::int64_t>(view.size(last), 1);
  return view;
}

/// Row-major memory of its own for what `view` holds, not yet filled.
inline View workspace_like(ExecContext& ctx, const View& view, Buffer& memory) {
  memory = ctx.workspace(static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  View copy = view;
  copy.data = memory.data();
  copy.strides = contiguous_strides(view.shape);
  return copy;
}

/// An operand with dense rows, itself or a copy, its leading dimensions stretched to those of
/// `stretched`.
class RowOperand {
 public:
  RowOperand(ExecContext& ctx, const View& given, const Shape& stretched) {
    View rows = given;
    if (!has_dense_rows(given)) {
      rows = workspace_like(ctx, given, memory_);
      kernels::copy(ctx, given, rows);
    }
    Shape shape = stretched;
    shape[shape.size() - 2] = given.size(given.ndim() - 2);
    shape.back() = given.shape.back();
    view_ = with_plain_rows(rows.broadcast_to(shape));
  }
  const View& view() const { return view_; }

 private:
  Buffer memory_;
  View view_;
};

/// A result with dense rows: itself, or memory that `finish` copies to it.
class RowResult {
 public:
  RowResult(ExecContext& ctx, const View& wanted) : wanted_(wanted), view_(wanted) {
    if (!wanted.defined) return;
    copied_ = !has_dense_rows(wanted);
    view_ = with_plain_rows(copied_ ? workspace_like(ctx, wanted, memory_) : wanted);
  }
  const View& view() const { return view_; }
  bool defined() const { return view_.defined; }
  void finish(ExecContext& ctx) const {
    if (copied_) kernels::copy(ctx, view_, wanted_);
  }

 private:
  Buffer memory_;
  View wanted_;
  View view_;
  bool copied_ = false;
};

/// Where the matrix number `item` (row-major over the leading dimensions) of a view begins.
inline std::int64_t item_offset(const View& view, std::int64_t item) {
  std::int64_t offset = 0;
  for (int dim = view.ndim() - 3; dim >= 0; --dim) {
    offset += item % view.size(dim) * view.strides[dim];
    item /= view.size(dim);
  }
  return offset;
}

/// One matrix of a batch, by rows; null where the operand is not there or has no element.
template <class T>
struct RowsOf {
  T* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t width = 0;

  RowsOf(const View& view, std::int64_t item) {
    if (!view.defined) return;
    width = view.shape.back();
    if (view.numel() == 0) return;
    data = view.ptr<T>() + item_offset(view, item);
    stride = view.strides[view.ndim() - 2];
  }
  T* row(std::int64_t i) const { return data + i * stride; }
  MatrixOf<T> from(std::int64_t i) const { return {row(i), stride, 1}; }
  MatrixOf<T> transposed_from(std::int64_t i) const { return {row(i), 1, stride}; }
};

/// c[m, n] += a[m, k] b[k, n], on this thread.
template <class T>
void add_product(ExecContext& ctx, std::int64_t m, std::int64_t n, std::int64_t k,
                 const MatrixOf<T>& a, const MatrixOf<T>& b, T* c, std::int64_t c_row_stride) {
  if (m == 0 || n == 0 || k == 0) return;
  if constexpr (std::is_same_v<T, float>) {
    onednn::gemm(m, n, k, 1, a, b, c, c_row_stride, true);
  } else {
    gemm(ctx, m, n, k, a, b, c, c_row_stride, true);
  }
}

/// c[m, n] = scale a[m, k] b[k, n], dense.
template <class T>
void set_to_product(ExecContext& ctx, std::int64_t m, std::int64_t n, std::int64_t k, double scale,
                    const MatrixOf<T>& a, const MatrixOf<T>& b, T* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    std::fill_n(c, m * n, T{0});
  } else if constexpr (std::is_same_v<T, float>) {
    onednn::gemm(m, n, k, static_cast<float>(scale), a, b, c, n, false);
  } else {
    gemm(ctx, m, n, k, a, b, c, n, false);
    for (std::int64_t i = 0; i < m * n; ++i) c[i] *= scale;
  }
}

/// The part of the scores that a tile covers.
struct Tile {
  std::int64_t item;
  std::int64_t query;  ///< the first one
  std::int64_t queries;
  std::int64_t key;
  std::int64_t keys;
};

/// A thread's memory for tiles of scores.
template <class T, int Tiles>
class TileMemory {
 public:
  TileMemory(ExecContext& ctx, bool with_numbers)
      : tiles_(ctx.workspace(Tiles * kElements * sizeof(T))),
        numbers_(ctx.workspace(with_numbers ? kElements * sizeof(float) : 0)) {}
  T* tile(int i) const { return tiles_.template as<T>() + i * kElements; }
  float* numbers() const { return numbers_.as<float>(); }  ///< null without dropout

 private:
  static constexpr std::int64_t kElements = kTileQueries * kTileKeys;

  Buffer tiles_;
  Buffer numbers_;
};

/// The scores of a batch: their operands, and who may look at whom.
template <class T>
struct Scores {
  AttentionParams params;
  View q;
  View k;
  View mask;
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t items = 1;
  DropoutRule<T> rule;

  Scores(const AttentionParams& p, const View& q_rows, const View& k_rows, const View& given_mask,
         const View& out)
      : params(p),
        q(q_rows),
        k(k_rows),
        queries(q_rows.size(out.ndim() - 2)),
        keys(k_rows.size(out.ndim() - 2)),
        rule(p.dropout) {
    Shape shape = out.shape;
    shape.back() = keys;
    if (given_mask.defined) mask = given_mask.broadcast_to(shape);
    for (int dim = 0; dim < out.ndim() - 2; ++dim) items *= out.size(dim);
  }

  bool drops() const { return params.dropout > 0; }

  /// Tasks of one thread at least, if each covers so many queries and keys.
  std::int64_t grain(std::int64_t task_queries, std::int64_t task_keys) const {
    const std::int64_t work = task_queries * task_keys * (q.shape.back() + 1);
    return (1 << 17) / std::max<std::int64_t>(work, 1);
  }

  /// The number of keys that any of the queries up to `last_query` may look at.
  std::int64_t keys_until(std::int64_t last_query) const {
    return params.causal ? std::min(keys, last_query + 1) : keys;
  }

  /// The scaled scores of a tile, by rows of tile.keys; -infinity where the query may not look.
  void compute(ExecContext& ctx, const Tile& tile, T* scores) const {
    const RowsOf<T> of_q(q, tile.item);
    const RowsOf<T> of_k(k, tile.item);
    set_to_product(ctx, tile.queries, tile.keys, of_q.width, params.scale, of_q.from(tile.query),
                   of_k.transposed_from(tile.key), scores);
    for (std::int64_t r = 0; r < tile.queries; ++r) {
      T* row = scores + r * tile.keys;
      const std::int64_t query = tile.query + r;
      const std::int64_t seen =
          params.causal ? std::clamp<std::int64_t>(query + 1 - tile.key, 0, tile.keys) : tile.keys;
      if (mask.defined) apply_mask(tile, query, seen, row);
      std::fill(row + seen, row + tile.keys, -std::numeric_limits<T>::infinity());
    }
  }

  /// The numbers that decide which weights of a tile are dropped, by rows of tile.keys.
  void draw(const Tile& tile, float* numbers) const {
    const std::int64_t first = (tile.item * queries + tile.query) * keys + tile.key;
    const bool whole_rows = tile.keys == keys;  // which follow each other
    const std::int64_t length = whole_rows ? tile.queries * keys : tile.keys;
    for (std::int64_t r = 0; r < (whole_rows ? 1 : tile.queries); ++r) {
      float* row = numbers + r * length;
      draw_row<UniformDraw>(params.key, first + r * keys, length,
                            [&](std::int64_t i, std::int64_t count, const float* drawn) {
                              std::copy_n(drawn, count, row + i);
                            });
    }
  }

 private:
  void apply_mask(const Tile& tile, std::int64_t query, std::int64_t seen, T* row) const {
    constexpr T kNothing = -std::numeric_limits<T>::infinity();
    const int last = mask.ndim() - 1;
    const std::int64_t step = mask.strides[last];
    const bool* flags = mask.ptr<bool>() + item_offset(mask, tile.item) +
                        query * mask.strides[last - 1] + tile.key * step;
    if (step == 1) {
      keep_where(flags, row, seen);
    } else {
      for (std::int64_t c = 0; c < seen; ++c) row[c] = flags[c * step] ? row[c] : kNothing;
    }
  }
};

}  // namespace minidl::kernels::cpu
