// Sum, mean, max, min, argmax, argmin, any and all on the kernels of reduction.cuh, which says who
// does what. Sums of f32 take up to 64 elements in f32 per thread and lane of a 16-byte group;
// everything above is f64, which is one addition in 64, so that GPUs with little f64 do not mind.
// Integers add up as unsigned numbers, which wrap around. NaN wins in max, min, argmax and argmin:
// in one comparison more.
//
// Each element is read once, sizeof(T) bytes, from dense operands 16 at a time; what is written,
// results and the Totals of at most kFoldBlocks chunks, is small beside it unless outputs fold a
// few elements only. Memory bound: at 4.8 TB/s an f32 sum has to take 1.2e12 elements per second.
//
// 1: rows and columns, chunks in two steps; not measured yet.

#include <cstdint>
#include <limits>
#include <type_traits>

#include "minidl/kernels/common/reduce_checks.h"
#include "minidl/kernels/cuda/reduction.cuh"
#include "minidl/kernels/reduce.h"

namespace minidl::kernels::cuda {
namespace {

template <class T>
struct Sum {
  static constexpr bool kFloat = std::is_floating_point_v<T>;
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = typename std::conditional_t<kFloat, std::type_identity<T>,
                                            std::make_unsigned<T>>::type;  // overflow wraps around
  using Total = std::conditional_t<kFloat, double, Block>;

  const T* inputs[1];
  T* out;
  double divisor;  ///< of floats

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ Block start(const T (&x)[1], std::int64_t, Local) const {
    return static_cast<Block>(x[0]);
  }
  __device__ void add(Block& block, const T (&x)[1], std::int64_t, Local) const {
    block += static_cast<Block>(x[0]);
  }
  __device__ Total nothing() const { return 0; }
  __device__ void flush(Block block, int, Total& total) const {
    total += static_cast<Total>(block);
  }
  __device__ Total join(Total a, Total b) const { return a + b; }
  __device__ void finish(Total total, std::int64_t at) const {
    if constexpr (kFloat) {
      out[at] = static_cast<T>(total / divisor);
    } else {
      out[at] = static_cast<T>(total);
    }
  }
};

template <class T>
__device__ bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return x != x;
  } else {
    return false;
  }
}

template <class T>
struct Extreme {
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = T;
  using Total = T;

  const T* inputs[1];
  T* out;
  bool smallest;
  T worst;  ///< what every other number beats

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ T start(const T (&x)[1], std::int64_t, Local) const { return x[0]; }
  __device__ void add(T& block, const T (&x)[1], std::int64_t, Local) const {
    block = join(block, x[0]);
  }
  __device__ T nothing() const { return worst; }
  __device__ void flush(T block, int, T& total) const { total = join(total, block); }
  __device__ T join(T a, T b) const {
    const T better = (smallest ? b < a : b > a) ? b : a;  // a where either is NaN
    return is_nan(b) ? b : better;
  }
  __device__ void finish(T total, std::int64_t at) const { out[at] = total; }
};

template <class T>
struct Place {
  T value;
  std::int64_t index;
};

template <class T>
struct ArgExtreme {
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = Place<T>;
  using Total = Place<T>;

  const T* inputs[1];
  std::int64_t* out;
  bool smallest;
  T worst;

  __device__ bool beats(T b, T a) const {
    return (smallest ? b < a : b > a) || (is_nan(b) && !is_nan(a));
  }
  __device__ Local local(std::int64_t) const { return {}; }
  __device__ Block start(const T (&x)[1], std::int64_t index, Local) const { return {x[0], index}; }
  __device__ void add(Block& block, const T (&x)[1], std::int64_t index, Local) const {
    if (beats(x[0], block.value)) block = {x[0], index};  // of equal ones the first stays
  }
  __device__ Total nothing() const { return {worst, std::numeric_limits<std::int64_t>::max()}; }
  __device__ void flush(const Block& block, int, Total& total) const { total = join(total, block); }
  __device__ Total join(const Total& a, const Total& b) const {
    const bool equal = a.value == b.value || (is_nan(a.value) && is_nan(b.value));
    return (equal ? b.index < a.index : beats(b.value, a.value) && !is_nan(a.value)) ? b : a;
  }
  __device__ void finish(const Total& total, std::int64_t at) const { out[at] = total.index; }
};

/// Whether any element is true, or all are.
struct Truth {
  using Element = std::uint8_t;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = std::uint32_t;  ///< 1 as long as none is true, or none false
  using Total = std::uint32_t;

  const std::uint8_t* inputs[1];
  std::uint8_t* out;
  bool all;

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ Block start(const std::uint8_t (&x)[1], std::int64_t, Local) const {
    return (x[0] != 0) == all;
  }
  __device__ void add(Block& block, const std::uint8_t (&x)[1], std::int64_t, Local) const {
    block &= static_cast<Block>((x[0] != 0) == all);
  }
  __device__ Total nothing() const { return 1; }
  __device__ void flush(Block block, int, Total& total) const { total &= block; }
  __device__ Total join(Total a, Total b) const { return a & b; }
  __device__ void finish(Total total, std::int64_t at) const {
    out[at] = (total != 0) == all ? 1 : 0;
  }
};

template <class T>
T lowest() {
  using Limits = std::numeric_limits<T>;
  return Limits::has_infinity ? -Limits::infinity() : Limits::min();
}

template <class T>
T highest() {
  using Limits = std::numeric_limits<T>;
  return Limits::has_infinity ? Limits::infinity() : Limits::max();
}

void find_extremes(ExecContext& ctx, const char* name, bool smallest, const View& x,
                   const View& out) {
  visit_arithmetic(name, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T worst = smallest ? highest<T>() : lowest<T>();
    const ArgExtreme<T> op{{x.ptr<T>()}, out.ptr<std::int64_t>(), smallest, worst};
    fold(ctx, name, op, plan_reduce(x, out));
  });
}

void find_truth(ExecContext& ctx, const char* name, bool all, const View& x, const View& out) {
  const Truth op{
      {static_cast<const std::uint8_t*>(x.data)}, static_cast<std::uint8_t*>(out.data), all};
  fold(ctx, name, op, plan_reduce(x, out));
}

}  // namespace

void reduce(ExecContext& ctx, ReduceOp op, const View& x, const View& out) {
  const char* op_name = name(op);
  const bool adds = op == ReduceOp::sum || op == ReduceOp::mean;
  if (!adds) check_has_extremes(op_name, x, out);
  const auto visit = [&](const auto& body) {
    if (op == ReduceOp::mean) return visit_float(op_name, x.dtype, body);
    return visit_arithmetic(op_name, x.dtype, body);
  };
  visit([&](auto zero) {
    using T = decltype(zero);
    const FoldPlan<1> plan = plan_reduce(x, out);
    if (adds) {
      const double divisor = op == ReduceOp::mean ? static_cast<double>(plan.count) : 1;
      fold(ctx, op_name, Sum<T>{{x.ptr<T>()}, out.ptr<T>(), divisor}, plan);
    } else {
      const bool smallest = op == ReduceOp::min;
      const T worst = smallest ? highest<T>() : lowest<T>();
      fold(ctx, op_name, Extreme<T>{{x.ptr<T>()}, out.ptr<T>(), smallest, worst}, plan);
    }
  });
}

void argmax(ExecContext& ctx, const View& x, int dim, const View& out) {
  check_argmax(x, dim, out);
  find_extremes(ctx, "argmax", /*smallest=*/false, x, out);
}

void argmin(ExecContext& ctx, const View& x, int dim, const View& out) {
  check_argmax(x, dim, out, "argmin");
  find_extremes(ctx, "argmin", /*smallest=*/true, x, out);
}

void any(ExecContext& ctx, const View& x, const View& out) {
  find_truth(ctx, "any", /*all=*/false, x, out);
}

void all(ExecContext& ctx, const View& x, const View& out) {
  find_truth(ctx, "all", /*all=*/true, x, out);
}

}  // namespace minidl::kernels::cuda
