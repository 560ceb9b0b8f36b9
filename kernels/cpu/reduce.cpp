#include "minidl/kernels/reduce.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "minidl/kernels/common/fold_plan.h"
#include "minidl/kernels/common/reduce_checks.h"
#include "minidl/kernels/cpu/rows.h"

// A fold runs on two levels: up to kBlock elements in the element type, on several lanes at once,
// and the results of the blocks in `Total`. What is folded with what depends on the shape alone.

namespace minidl::kernels {

const char* name(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum: return "sum";
    case ReduceOp::mean: return "mean";
    case ReduceOp::max: return "max";
    case ReduceOp::min: return "min";
  }
  return "reduce";
}

namespace cpu {
namespace {

template <class T>
struct Sum {
  static constexpr bool kFloat = std::is_floating_point_v<T>;
  using Block = std::conditional_t<kFloat, T, std::uint64_t>;  // unsigned: overflow wraps around
  using Total = std::conditional_t<kFloat, double, std::uint64_t>;
  static constexpr Block kIdentity = 0;
  template <class A>
  static A join(A a, A b) {
    return a + b;
  }
};

template <class T>
struct Max {
  using Block = T;
  using Total = T;
  static constexpr T kIdentity = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                             : std::numeric_limits<T>::min();
  static T join(T a, T b) {
    const T larger = b > a ? b : a;  // a where either is NaN
    return b != b ? b : larger;
  }
};

template <class T>
struct Min {
  using Block = T;
  using Total = T;
  static constexpr T kIdentity = std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                                             : std::numeric_limits<T>::max();
  static T join(T a, T b) {
    const T smaller = b < a ? b : a;  // a where either is NaN
    return b != b ? b : smaller;
  }
};

template <class T>
struct Product {
  using Total = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;
  using Block = Total;  // of f32, too: a part may overflow where the whole does not
  static constexpr Block kIdentity = 1;
  static Total join(Total a, Total b) { return a * b; }
};

struct Any {
  using Block = std::uint8_t;
  using Total = std::uint8_t;
  static constexpr Block kIdentity = 0;
  static Block join(Block a, Block b) { return static_cast<Block>(a | b); }
};

struct All {
  using Block = std::uint8_t;
  using Total = std::uint8_t;
  static constexpr Block kIdentity = 1;
  static Block join(Block a, Block b) { return static_cast<Block>(a & b); }
};

// More lanes than g++ unrolls: it then vectorises the loop over them, for max and min too.
constexpr std::int64_t kLanes = 32;
constexpr std::int64_t kDepth = 64;  // elements that one lane folds before a flush
constexpr std::int64_t kBlock = kLanes * kDepth;
constexpr std::int64_t kChunk = 8 * kBlock;  // elements that one task folds where tasks are few
constexpr std::int64_t kFewTasks = 64;
constexpr std::int64_t kTile = 512;  // columns folded side by side

using Plan = FoldPlan<1>;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Where the tasks put their results: straight into out, or aside where several chunks share an
// output.
template <class T, class Total, class Finish>
class Sink {
 public:
  Sink(ExecContext& ctx, const Plan& plan, std::int64_t chunks, T* out, const Finish& finish)
      : plan_(plan), chunks_(chunks), out_(out), finish_(finish) {
    if (chunks > 1) {
      buffer_ = ctx.workspace(static_cast<std::size_t>(plan.outputs * chunks) * sizeof(Total));
    }
  }

  void put(std::int64_t output, std::int64_t chunk, std::int64_t out_offset, Total total) const {
    if (chunks_ == 1) {
      out_[out_offset] = finish_(total);
    } else {
      buffer_.template as<Total>()[output * chunks_ + chunk] = total;
    }
  }

  template <class Join>
  void join_chunks(const Join& join) const {
    if (chunks_ == 1) return;
    const Total* next = buffer_.template as<Total>();
    walk_rows(plan_.kept, 0, plan_.outputs, [&](const auto& at, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        Total total = *next++;
        for (std::int64_t chunk = 1; chunk < chunks_; ++chunk) total = join(total, *next++);
        out_[at[1] + i * plan_.kept.inner_stride(1)] = finish_(total);
      }
    });
  }

 private:
  const Plan& plan_;
  std::int64_t chunks_;
  T* out_;
  const Finish& finish_;
  Buffer buffer_;
};

template <class Op, class T>
typename Op::Total fold_row(const T* x, std::int64_t count, std::int64_t step,
                            typename Op::Total total) {
  using Block = typename Op::Block;
  using Total = typename Op::Total;
  while (count > 0) {
    const std::int64_t length = std::min(count, kBlock);
    std::int64_t i = 0;
    if (length >= kLanes) {
      Block lanes[kLanes];
      std::fill_n(lanes, kLanes, Op::kIdentity);
      if (step == 1) {
        for (; i + kLanes <= length; i += kLanes) {
          for (std::int64_t k = 0; k < kLanes; ++k) {
            lanes[k] = Op::join(lanes[k], static_cast<Block>(x[i + k]));
          }
        }
      } else {
        for (; i + kLanes <= length; i += kLanes) {
          for (std::int64_t k = 0; k < kLanes; ++k) {
            lanes[k] = Op::join(lanes[k], static_cast<Block>(x[(i + k) * step]));
          }
        }
      }
      for (const Block lane : lanes) total = Op::join(total, static_cast<Total>(lane));
    }
    for (; i < length; ++i) {
      total = Op::join(total, static_cast<Total>(static_cast<Block>(x[i * step])));
    }
    x += length * step;
    count -= length;
  }
  return total;
}

// Each output folds rows of its own.
template <class Op, class T, class Finish>
void fold_rows(ExecContext& ctx, const Plan& plan, const T* x, T* out, const Finish& finish) {
  using Total = typename Op::Total;
  const std::int64_t chunks =
      plan.outputs < kFewTasks ? std::max<std::int64_t>(ceil_div(plan.count, kChunk), 1) : 1;
  const std::int64_t length = chunks > 1 ? kChunk : plan.count;
  const Sink<T, Total, Finish> sink(ctx, plan, chunks, out, finish);
  const std::int64_t step = plan.folded.inner_stride(0);
  const auto fold = [&](const T* first, std::int64_t chunk) {
    Total total = Op::kIdentity;
    walk_rows(plan.folded, chunk * length, std::min((chunk + 1) * length, plan.count),
              [&](const auto& at, std::int64_t count) {
                total = fold_row<Op>(first + at[0], count, step, total);
              });
    return total;
  };
  const std::int64_t grain = kGrain / std::max<std::int64_t>(length, 1);
  parallel_for(chunks * plan.outputs, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end;) {
      const std::int64_t chunk = task / plan.outputs;
      const std::int64_t stop = std::min(end, (chunk + 1) * plan.outputs);
      std::int64_t output = task - chunk * plan.outputs;
      walk_rows(plan.kept, output, output + stop - task, [&](const auto& at, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
          const T* first = x + at[0] + i * plan.kept.inner_stride(0);
          sink.put(output++, chunk, at[1] + i * plan.kept.inner_stride(1), fold(first, chunk));
        }
      });
      task = stop;
    }
  });
  sink.join_chunks([](Total a, Total b) { return Op::join(a, b); });
}

// A tile of neighbouring outputs, folded one row of x after another.
template <class Op, class T>
class Tile {
 public:
  using Block = typename Op::Block;
  using Total = typename Op::Total;

  explicit Tile(std::int64_t width) : width_(width) {
    std::fill_n(block_, width, Op::kIdentity);
    std::fill_n(total_, width, Total{Op::kIdentity});
  }

  void add(const T* row, std::int64_t step) {
    if (step == 1) {
      for (std::int64_t i = 0; i < width_; ++i) {
        block_[i] = Op::join(block_[i], static_cast<Block>(row[i]));
      }
    } else {
      for (std::int64_t i = 0; i < width_; ++i) {
        block_[i] = Op::join(block_[i], static_cast<Block>(row[i * step]));
      }
    }
    if (++depth_ == kDepth) flush();
  }

  const Total* totals() {
    flush();
    return total_;
  }

 private:
  void flush() {
    for (std::int64_t i = 0; i < width_; ++i) {
      total_[i] = Op::join(total_[i], static_cast<Total>(block_[i]));
      block_[i] = Op::kIdentity;
    }
    depth_ = 0;
  }

  std::int64_t width_;
  std::int64_t depth_ = 0;
  Block block_[kTile];
  Total total_[kTile];
};

// Outputs that lie side by side fold their columns together, so that x is read in memory order.
template <class Op, class T, class Finish>
void fold_columns(ExecContext& ctx, const Plan& plan, const T* x, T* out, const Finish& finish) {
  using Total = typename Op::Total;
  const std::int64_t columns = plan.kept.inner_extent();
  const std::int64_t column_step = plan.kept.inner_stride(0);
  const std::int64_t out_step = plan.kept.inner_stride(1);
  const std::int64_t tiles = ceil_div(columns, kTile);
  const std::int64_t groups = plan.outputs / columns * tiles;
  const std::int64_t chunk_length =
      ceil_div(2 * kChunk / std::min(columns, kTile), kDepth) * kDepth;
  const std::int64_t chunks =
      groups < kFewTasks ? std::max<std::int64_t>(ceil_div(plan.count, chunk_length), 1) : 1;
  const std::int64_t length = chunks > 1 ? chunk_length : plan.count;
  const Sink<T, Total, Finish> sink(ctx, plan, chunks, out, finish);

  const auto fold = [&](std::int64_t group, std::int64_t chunk) {
    const std::int64_t left = group % tiles * kTile;
    const std::int64_t width = std::min(kTile, columns - left);
    const std::int64_t output = group / tiles * columns + left;
    walk_rows(plan.kept, output, output + width, [&](const auto& at, std::int64_t) {
      Tile<Op, T> tile(width);
      walk_rows(plan.folded, chunk * length, std::min((chunk + 1) * length, plan.count),
                [&](const auto& row_at, std::int64_t rows) {
                  const T* row = x + at[0] + row_at[0];
                  for (std::int64_t i = 0; i < rows; ++i) {
                    tile.add(row + i * plan.folded.inner_stride(0), column_step);
                  }
                });
      const Total* totals = tile.totals();
      for (std::int64_t i = 0; i < width; ++i) {
        sink.put(output + i, chunk, at[1] + i * out_step, totals[i]);
      }
    });
  };
  const std::int64_t work = std::max<std::int64_t>(length * std::min(columns, kTile), 1);
  parallel_for(groups * chunks, kGrain / work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) fold(task % groups, task / groups);
  });
  sink.join_chunks([](Total a, Total b) { return Op::join(a, b); });
}

template <class Op, class T, class Finish>
void fold(ExecContext& ctx, const View& x, const View& out, const Finish& finish) {
  const Plan plan = plan_reduce(x, out);
  if (plan.outputs == 0) return;
  if (plan.by_columns()) {
    fold_columns<Op, T>(ctx, plan, x.ptr<T>(), out.ptr<T>(), finish);
  } else {
    fold_rows<Op, T>(ctx, plan, x.ptr<T>(), out.ptr<T>(), finish);
  }
}

// Whether `value` takes the place of the best so far; the first NaN stays.
template <bool kLargest, class T>
bool precedes(T best, T value) {
  const bool better = kLargest ? value > best : value < best;
  return better | ((value != value) & (best == best));
}

template <bool kLargest, class T>
std::int64_t first_extreme(const T* x, std::int64_t count, std::int64_t step) {
  T best = x[0];
  std::int64_t index = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    if (precedes<kLargest>(best, x[i * step])) {
      best = x[i * step];
      index = i;
    }
  }
  return index;
}

template <bool kLargest>
void find_extremes(const char* op, const View& x, int dim, const View& out) {
  check_argmax(x, dim, out, op);
  if (out.numel() == 0) return;
  const std::int64_t count = x.size(dim);
  const std::int64_t step = x.strides[dim];
  visit_arithmetic(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const LoopNest<2> nest(out.shape, {out.strides, x.strides});
    for_each_row(nest, kGrain / count, [&](const auto& at, std::int64_t rows) {
      auto* to = out.ptr<std::int64_t>() + at[0];
      const T* from = x.ptr<T>() + at[1];
      for (std::int64_t i = 0; i < rows; ++i) {
        to[i * nest.inner_stride(0)] =
            first_extreme<kLargest>(from + i * nest.inner_stride(1), count, step);
      }
    });
  });
}

template <class Op>
void reduce_bool(ExecContext& ctx, const View& x, const View& out) {
  fold<Op, bool>(ctx, x, out, [](std::uint8_t total) { return total != 0; });
}

}  // namespace

void reduce(ExecContext& ctx, ReduceOp op, const View& x, const View& out) {
  if (op == ReduceOp::mean) {
    return visit_float(name(op), x.dtype, [&](auto zero) {
      using T = decltype(zero);
      const double count = static_cast<double>(x.numel()) / static_cast<double>(out.numel());
      fold<Sum<T>, T>(ctx, x, out, [=](double total) { return static_cast<T>(total / count); });
    });
  }
  if (op != ReduceOp::sum) check_has_extremes(name(op), x, out);
  visit_arithmetic(name(op), x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto finish = [](auto total) { return static_cast<T>(total); };
    switch (op) {
      case ReduceOp::max: return fold<Max<T>, T>(ctx, x, out, finish);
      case ReduceOp::min: return fold<Min<T>, T>(ctx, x, out, finish);
      default: return fold<Sum<T>, T>(ctx, x, out, finish);
    }
  });
}

void argmax(ExecContext&, const View& x, int dim, const View& out) {
  find_extremes<true>("argmax", x, dim, out);
}

void argmin(ExecContext&, const View& x, int dim, const View& out) {
  find_extremes<false>("argmin", x, dim, out);
}

void any(ExecContext& ctx, const View& x, const View& out) {
  reduce_bool<Any>(ctx, x, out);
}

void all(ExecContext& ctx, const View& x, const View& out) {
  reduce_bool<All>(ctx, x, out);
}

void prod(ExecContext& ctx, const View& x, const View& out) {
  visit_arithmetic("prod", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    fold<Product<T>, T>(ctx, x, out, [](auto total) { return static_cast<T>(total); });
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
