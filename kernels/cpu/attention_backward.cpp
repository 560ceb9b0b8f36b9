// The backward pass of FlashAttention-2 (Dao 2023): the weights P = exp(scores - log_sums) are
// computed again, tile by tile. With D = sum(dO * O) along the rows and the mask of dropout Z,
//
//     dV += (P * Z)^T dO      dS = P * (dO V^T * Z - D)      dQ += dS K      dK += dS^T Q
//
// Every gradient is summed in one order, whoever computes it: with a matrix of scores for every
// thread, one of them does all for it; with fewer, the threads take blocks of queries for dQ, then
// of keys for dK and dV, and compute the tiles twice.

#include <array>

#include "minidl/kernels/attention.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/attention_tiles.h"

namespace minidl::kernels::cpu {
namespace {

// Where the gradients go; undefined where they are not wanted.
struct Gradients {
  View q;
  View k;
  View v;
};

template <class T>
class Backward {
 public:
  Backward(ExecContext& ctx, const Scores<T>& scores, const View& v, const View& dout,
           const View& log_sums, const Gradients& gradients)
      : ctx_(ctx),
        scores_(scores),
        v_(v),
        dout_(dout),
        log_sums_(log_sums),
        gradients_(gradients),
        products_memory_(
            ctx.workspace(static_cast<std::size_t>(scores.items * scores.queries) * sizeof(T))),
        products_(products_memory_.as<T>()) {}

  void run(const View& out) const {
    const bool by_key = gradients_.k.defined || gradients_.v.defined;
    const bool by_query = gradients_.q.defined;
    const std::int64_t queries = scores_.queries;
    const std::int64_t keys = scores_.keys;
    const std::int64_t blocks = tiles_of(queries, kTileQueries);
    const std::int64_t key_tiles = tiles_of(keys, kTileKeys);
    set_products(out);
    if (scores_.items >= max_threads()) {
      share(scores_.items, scores_.grain(queries, keys),
            [&](std::int64_t item, const Memory& memory) {
              for (std::int64_t key = 0; key < keys; key += kTileKeys) {
                for (std::int64_t query = 0; query < queries; query += kTileQueries) {
                  add_tile(item, query, key, by_query, by_key, memory);
                }
              }
            });
      return;
    }
    if (by_query) {
      share(scores_.items * blocks, scores_.grain(kTileQueries, keys),
            [&](std::int64_t task, const Memory& memory) {
              for (std::int64_t key = 0; key < keys; key += kTileKeys) {
                add_tile(task / blocks, task % blocks * kTileQueries, key, true, false, memory);
              }
            });
    }
    if (by_key) {
      share(scores_.items * key_tiles, scores_.grain(queries, kTileKeys),
            [&](std::int64_t task, const Memory& memory) {
              for (std::int64_t query = 0; query < queries; query += kTileQueries) {
                add_tile(task / key_tiles, query, task % key_tiles * kTileKeys, false, true,
                         memory);
              }
            });
    }
  }

 private:
  using Memory = TileMemory<T, 2>;

  template <class Task>
  void share(std::int64_t tasks, std::int64_t grain, const Task& task) const {
    parallel_for(tasks, grain, [&](std::int64_t begin, std::int64_t end) {
      const Memory memory(ctx_, scores_.drops());
      for (std::int64_t i = begin; i < end; ++i) task(i, memory);
    });
  }

  /// D, for every row.
  void set_products(const View& out) const {
    const std::int64_t rows = scores_.items * scores_.queries;
    parallel_for(rows, 1024, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const RowsOf<T> of_out(out, i / scores_.queries);
        const RowsOf<T> of_dout(dout_, i / scores_.queries);
        const T* y = of_out.row(i % scores_.queries);
        const T* dy = of_dout.row(i % scores_.queries);
        double sum = 0;
        for (std::int64_t e = 0; e < of_out.width; ++e) sum += double{y[e]} * double{dy[e]};
        products_[i] = static_cast<T>(sum);
      }
    });
  }

  void add_tile(std::int64_t item, std::int64_t query, std::int64_t key, bool by_query, bool by_key,
                const Memory& memory) const {
    const std::int64_t queries = std::min(kTileQueries, scores_.queries - query);
    const std::int64_t last_key =
        std::min(key + kTileKeys, scores_.keys_until(query + queries - 1));
    if (last_key <= key) return;
    const Tile at{item, query, queries, key, last_key - key};
    const RowsOf<T> dout(dout_, item);
    const RowsOf<T> v(v_, item);
    T* weights = memory.tile(0);
    T* dscores = memory.tile(1);
    scores_.compute(ctx_, at, weights);
    set_to_product(ctx_, queries, at.keys, v.width, 1, dout.from(query), v.transposed_from(key),
                   dscores);
    if (scores_.drops()) scores_.draw(at, memory.numbers());
    for (std::int64_t r = 0; r < queries; ++r) set_row(at, r, memory);

    const MatrixOf<T> dscores_rows{dscores, at.keys, 1};
    const MatrixOf<T> dscores_columns{dscores, 1, at.keys};
    const MatrixOf<T> weights_columns{weights, 1, at.keys};
    const RowsOf<T> dq(gradients_.q, item);
    const RowsOf<T> dk(gradients_.k, item);
    const RowsOf<T> dv(gradients_.v, item);
    const RowsOf<T> q(scores_.q, item);
    const RowsOf<T> k(scores_.k, item);
    if (by_query && gradients_.q.defined) {
      add_product(ctx_, queries, k.width, at.keys, dscores_rows, k.from(key), dq.row(query),
                  dq.stride);
    }
    if (by_key && gradients_.k.defined) {
      add_product(ctx_, at.keys, q.width, queries, dscores_columns, q.from(query), dk.row(key),
                  dk.stride);
    }
    if (by_key && gradients_.v.defined) {
      add_product(ctx_, at.keys, v.width, queries, weights_columns, dout.from(query), dv.row(key),
                  dv.stride);
    }
  }

  /// Scores become P * Z, and dO V^T becomes dS.
  void set_row(const Tile& at, std::int64_t r, const Memory& memory) const {
    T* weights = memory.tile(0) + r * at.keys;
    T* dscores = memory.tile(1) + r * at.keys;
    const std::int64_t row = at.item * scores_.queries + at.query + r;
    const T log_sum = log_sums_.ptr<T>()[row];
    const T product = products_[row];
    const T scale = static_cast<T>(scores_.params.scale);
    exponentials(weights, at.keys, log_sum);
    if (!scores_.drops()) {
      for (std::int64_t c = 0; c < at.keys; ++c) {
        dscores[c] = weights[c] * (dscores[c] - product) * scale;
      }
      return;
    }
    const float* numbers = memory.numbers() + r * at.keys;
    for (std::int64_t c = 0; c < at.keys; ++c) {
      dscores[c] = weights[c] * (scores_.rule(dscores[c], numbers[c]) - product) * scale;
      weights[c] = scores_.rule(weights[c], numbers[c]);
    }
  }

  ExecContext& ctx_;
  const Scores<T>& scores_;
  const View& v_;
  const View& dout_;
  const View& log_sums_;
  const Gradients& gradients_;
  Buffer products_memory_;
  T* products_;
};

}  // namespace

void attention_backward(ExecContext& ctx, const AttentionParams& params, const View& dout,
                        const View& q, const View& k, const View& v, const View& mask,
                        const View& out, const View& log_sums, const View& dq, const View& dk,
                        const View& dv) {
  visit_float("scaled_dot_product_attention", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const RowOperand q_rows(ctx, q, out.shape);
    const RowOperand k_rows(ctx, k, out.shape);
    const RowOperand v_rows(ctx, v, out.shape);
    const RowOperand out_rows(ctx, out, out.shape);
    const RowOperand dout_rows(ctx, dout, out.shape);
    const std::array<RowResult, 3> results{RowResult(ctx, dq), RowResult(ctx, dk),
                                           RowResult(ctx, dv)};
    for (const RowResult& result : results) {
      if (result.defined()) kernels::fill(ctx, result.view(), 0);
    }
    const Scores<T> scores(params, q_rows.view(), k_rows.view(), mask, out);
    const Gradients into{results[0].view(), results[1].view(), results[2].view()};
    Backward<T>(ctx, scores, v_rows.view(), dout_rows.view(), log_sums, into).run(out_rows.view());
    for (const RowResult& result : results) result.finish(ctx);
  });
}

}  // namespace minidl::kernels::cpu
