// Attention in tiles with an online softmax (Milakov and Gimelshein 2018), in the order of
// FlashAttention-2 (Dao 2023): a block of queries meets one tile of keys after the other and keeps
// the largest score so far, the sum of the exponentials and an output that is not yet normalised.

#include "minidl/kernels/attention.h"

#include <cmath>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/attention_tiles.h"

namespace minidl::kernels::cpu {
namespace {

template <class T>
class Forward {
 public:
  Forward(const Scores<T>& scores, const View& v, const View& out, const View& log_sums)
      : scores_(scores), v_(v), out_(out), log_sums_(log_sums) {}

  void run(ExecContext& ctx) const {
    const std::int64_t blocks = tiles_of(scores_.queries, kTileQueries);
    parallel_for(scores_.items * blocks, scores_.grain(kTileQueries, scores_.keys),
                 [&](std::int64_t begin, std::int64_t end) {
                   const TileMemory<T, 1> memory(ctx, scores_.drops());
                   for (std::int64_t task = begin; task < end; ++task) {
                     // from both ends in turn: of causal rows the last ones are the longest
                     const std::int64_t place = task % blocks;
                     const std::int64_t block = place % 2 == 0 ? place / 2 : blocks - 1 - place / 2;
                     block_of_queries(ctx, task / blocks, block * kTileQueries, memory);
                   }
                 });
  }

 private:
  struct Row {
    T largest = -std::numeric_limits<T>::infinity();
    double sum = 0;  ///< of the exponentials, less the largest
    /// What exponents are counted from; any number will do while there is no key.
    T base() const { return largest == -std::numeric_limits<T>::infinity() ? T{0} : largest; }
  };

  void block_of_queries(ExecContext& ctx, std::int64_t item, std::int64_t query,
                        const TileMemory<T, 1>& memory) const {
    T* tile = memory.tile(0);
    const std::int64_t queries = std::min(kTileQueries, scores_.queries - query);
    const std::int64_t keys = scores_.keys_until(query + queries - 1);
    const RowsOf<T> v(v_, item);
    const RowsOf<T> out(out_, item);
    std::array<Row, kTileQueries> rows{};
    for (std::int64_t r = 0; r < queries; ++r) std::fill_n(out.row(query + r), out.width, T{0});
    for (std::int64_t key = 0; key < keys; key += kTileKeys) {
      const Tile at{item, query, queries, key, std::min(kTileKeys, keys - key)};
      scores_.compute(ctx, at, tile);
      for (std::int64_t r = 0; r < queries; ++r) {
        add_to_row(at, r, tile + r * at.keys, rows[static_cast<std::size_t>(r)], out);
      }
      if (scores_.drops()) {
        scores_.draw(at, memory.numbers());
        const std::int64_t count = queries * at.keys;
        std::transform(tile, tile + count, memory.numbers(), tile, scores_.rule);
      }
      add_product(ctx, queries, out.width, at.keys, MatrixOf<T>{tile, at.keys, 1}, v.from(key),
                  out.row(query), out.stride);
    }
    T* log_sums = log_sums_.ptr<T>() + item * scores_.queries + query;
    for (std::int64_t r = 0; r < queries; ++r) {
      const Row& row = rows[static_cast<std::size_t>(r)];
      const T scale = row.sum == 0 ? T{0} : static_cast<T>(1 / row.sum);
      T* y = out.row(query + r);
      for (std::int64_t e = 0; e < out.width; ++e) y[e] *= scale;
      log_sums[r] = row.sum == 0 ? T{0} : static_cast<T>(double{row.base()} + std::log(row.sum));
    }
  }

  /// Scores become what v is multiplied with; what the row has so far is brought to their scale.
  void add_to_row(const Tile& at, std::int64_t r, T* weights, Row& row,
                  const RowsOf<T>& out) const {
    const T before = row.largest;
    row.largest = std::max(before, largest_of(weights, at.keys));
    const T sum = exponentials(weights, at.keys, row.base());
    if (row.largest != before) {
      const T shrink = std::exp(before - row.base());
      T* y = out.row(at.query + r);
      for (std::int64_t e = 0; e < out.width; ++e) y[e] *= shrink;
      row.sum *= double{shrink};
    }
    row.sum += double{sum};
  }

  const Scores<T>& scores_;
  const View& v_;
  const View& out_;
  const View& log_sums_;
};

}  // namespace

void attention_forward(ExecContext& ctx, const AttentionParams& params, const View& q,
                       const View& k, const View& v, const View& mask, const View& out,
                       const View& log_sums) {
  visit_float("scaled_dot_product_attention", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (log_sums.numel() == 0) return;
    const RowOperand q_rows(ctx, q, out.shape);
    const RowOperand k_rows(ctx, k, out.shape);
    const RowOperand v_rows(ctx, v, out.shape);
    const RowResult result(ctx, out);
    const Scores<T> scores(params, q_rows.view(), k_rows.view(), mask, out);
    Forward<T>(scores, v_rows.view(), result.view(), log_sums).run(ctx);
    result.finish(ctx);
  });
}

}  // namespace minidl::kernels::cpu
