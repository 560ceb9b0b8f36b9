// Sum, mean, max, min and argmax on the kernels of reduction.cuh, which says who does what. Sums of
// f32 take up to 64 elements in f32 per thread and lane of a 16-byte group; everything above is
// f64, which is one addition in 64, so that GPUs with little f64 do not mind. Integers add up as
// unsigned numbers, which wrap around. NaN wins in max, min and argmax: in one comparison more.
//
// Each element is read once, sizeof(T) bytes, from dense operands 16 at a time; what is written,
// results and the Totals of at most kFoldBlocks chunks, is small beside it unless outputs fold a
// few elements only. Memory bound: at 4.8 TB/s an f32 sum has to take 1.2e12 elements per second.
//
// 1: rows and columns, chunks in two steps; not measured yet.

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
struct Argmax {
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = Place<T>;
  using Total = Place<T>;

  const T* inputs[1];
  std::int64_t* out;
  T worst;

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ Block start(const T (&x)[1], std::int64_t index, Local) const { return {x[0], index}; }
  __device__ void add(Block& block, const T (&x)[1], std::int64_t index, Local) const {
    const bool larger = x[0] > block.value || (is_nan(x[0]) && !is_nan(block.value));
    if (larger) block = {x[0], index};  // later elements win only if they are larger
  }
  __device__ Total nothing() const { return {worst, std::numeric_limits<std::int64_t>::max()}; }
  __device__ void flush(const Block& block, int, Total& total) const { total = join(total, block); }
  __device__ Total join(const Total& a, const Total& b) const {
    const bool equal = a.value == b.value || (is_nan(a.value) && is_nan(b.value));
    const bool larger = b.value > a.value || is_nan(b.value);
    return (equal ? b.index < a.index : larger && !is_nan(a.value)) ? b : a;
  }
  __device__ void finish(const Total& total, std::int64_t at) const { out[at] = total.index; }
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
  visit_arithmetic("argmax", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Argmax<T> op{{x.ptr<T>()}, out.ptr<std::int64_t>(), lowest<T>()};
    fold(ctx, "argmax", op, plan_reduce(x, out));
  });
}

}  // namespace minidl::kernels::cuda
