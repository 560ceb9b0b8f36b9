// Layer normalisation. A row belongs to a team of up to 32 threads, from 1025 elements on to a
// block of 256. The team folds the row (reduction.cuh) and goes over it a second time, when it
// comes from the L1 or L2 cache, to write the result. The gradients of weight and bias are a
// reduction of their own, over the rows: columns side by side, chunks of rows in two steps.
//
// Sums are f64 throughout, as layer_norm.h has it: up to three f64 operations an element. That is
// little for a GPU with f64 at half or a quarter of its f32 rate (A100, H100, H200), and what
// decides on one with a 64th of it.
//
// Read + written per f32 element, in bytes: forward 4 + 4, gradient of x 8 + 4, gradients of weight
// and bias 8 + 0; what belongs to a row or to a column is small beside it. Memory bound.
//
// 1: two passes over each row; not measured yet.

#include <array>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cuda/moments.cuh"
#include "minidl/kernels/cuda/reduction.cuh"
#include "minidl/kernels/layer_norm.h"

namespace minidl::kernels::cuda {
namespace {

constexpr int kRowInputs = 3;

/// The walk over the rows and within one. Operands: the three inputs, out, and for `rows` the mean
/// and rstd.
struct RowWork {
  DeviceNest<kRowInputs + 3, FoldIndex> rows;
  DeviceNest<kRowInputs + 1, FoldIndex> row;
  FoldIndex outer, count;  ///< rows, elements of one
  int team;
  bool fold_vectorized, map_vectorized;
};

template <class T>
struct Forward : MomentsFold<T, double> {
  struct Coefficients {
    T shift, scale;
  };

  const T* inputs[kRowInputs];  ///< x, weight, bias
  T *out, *mean, *rstd;         ///< mean is null for RMS norm
  bool has_weight, has_bias;
  double eps;

  __device__ NoLocal local(std::int64_t, std::int64_t) const { return {}; }
  /// `writes` in one thread of the team.
  __device__ Coefficients finish(const Moments& total, FoldIndex, NoLocal, std::int64_t mean_at,
                                 std::int64_t rstd_at, bool writes) const {
    const bool centered = mean != nullptr;
    double variance = total.count > 0 ? total.squares / total.count : 0;
    if (!centered) variance += total.mean * total.mean;  // the mean of the squares
    const Coefficients c{centered ? static_cast<T>(total.mean) : T{0},
                         static_cast<T>(1 / sqrt(variance + eps))};
    if (writes) {
      if (centered) mean[mean_at] = c.shift;
      rstd[rstd_at] = c.scale;
    }
    return c;
  }
  __device__ T map(const T (&v)[kRowInputs], const Coefficients& c) const {
    const T weight = has_weight ? v[1] : T{1};
    const T bias = has_bias ? v[2] : T{0};
    return (v[0] - c.shift) * c.scale * weight + bias;
  }
};

struct TwoSums {
  double first, second;
};

/// The part of a reduction that all have that take two sums in f64.
template <class T>
struct TwoSumsFold {
  using Element = T;
  static constexpr int kDepth = 64;
  using Block = TwoSums;
  using Total = TwoSums;

  __device__ TwoSums nothing() const { return {0, 0}; }
  __device__ void flush(const TwoSums& block, int, TwoSums& total) const {
    total = join(total, block);
  }
  __device__ TwoSums join(const TwoSums& a, const TwoSums& b) const {
    return {a.first + b.first, a.second + b.second};
  }
};

/// The gradient of x. The sums are those of g = dy * weight and of g * xhat.
template <class T>
struct InputGradient : TwoSumsFold<T> {
  static constexpr int kInputs = kRowInputs;
  struct Local {
    T shift, scale;
  };
  struct Coefficients {
    T shift, scale, mean_g, slope;
  };
  using Values = T[kRowInputs];

  const T* inputs[kRowInputs];  ///< dy, x, weight
  T* out;
  const T *mean, *rstd;  ///< mean is null for RMS norm
  bool has_weight;

  __device__ T weighted(const Values& v) const { return has_weight ? v[0] * v[2] : v[0]; }

  __device__ Local local(std::int64_t mean_at, std::int64_t rstd_at) const {
    return {mean != nullptr ? mean[mean_at] : T{0}, rstd[rstd_at]};
  }
  __device__ TwoSums start(const Values& v, std::int64_t, const Local& row) const {
    const T g = weighted(v);
    return {static_cast<double>(g), static_cast<double>(g * ((v[1] - row.shift) * row.scale))};
  }
  __device__ void add(TwoSums& block, const Values& v, std::int64_t i, const Local& row) const {
    block = this->join(block, start(v, i, row));
  }
  __device__ Coefficients finish(const TwoSums& total, FoldIndex count, const Local& row,
                                 std::int64_t, std::int64_t, bool) const {
    const auto divisor = static_cast<double>(count);
    const double mean_g = mean != nullptr ? total.first / divisor : 0;
    return {row.shift, row.scale, static_cast<T>(mean_g), static_cast<T>(total.second / divisor)};
  }
  __device__ T map(const Values& v, const Coefficients& c) const {
    const T xhat = (v[1] - c.shift) * c.scale;
    return c.scale * (weighted(v) - c.mean_g - xhat * c.slope);
  }
};

template <bool kVectorized, class Op>
__device__ void map_row(const Op& op, const RowWork& work, const std::int64_t* at, FoldIndex lane,
                        FoldIndex team, const typename Op::Coefficients& coefficients) {
  using T = typename Op::Element;
  constexpr int kGroup = kVectorized ? kVector<T> : 1;
  constexpr int N = kRowInputs + 1;
  std::int64_t steps[N];
#pragma unroll
  for (int n = 0; n < N; ++n) steps[n] = work.row.strides[n][0];
  for (FoldIndex i = lane * kGroup; i < work.count; i += team * kGroup) {
    std::int64_t where[N];
    work.row.locate(i, where);
#pragma unroll
    for (int n = 0; n < N; ++n) where[n] += at[n];
    T* const out = op.out + where[kRowInputs];
    T values[kGroup][kRowInputs];
    T results[kGroup];
    const FoldIndex rest = work.count - i;
    const int width = rest < kGroup ? static_cast<int>(rest) : kGroup;
    const bool whole = kVectorized && width == kGroup;
    if (whole) {
      load_group<kVectorized>(op.inputs, where, steps, kGroup, values);
    } else {
      load_group<false>(op.inputs, where, steps, width, values);
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) results[k] = op.map(values[k], coefficients);
    if constexpr (kVectorized) {
      if (whole) {
        store_vector(results, out);
        continue;
      }
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (k < width) out[k * steps[kRowInputs]] = results[k];
    }
  }
}

template <class Op>
__global__ void __launch_bounds__(kFoldThreads, kFoldResident)
    row_kernel(const __grid_constant__ Op op, const __grid_constant__ RowWork work) {
  const auto team = static_cast<FoldIndex>(work.team);
  const FoldIndex lane = threadIdx.x % team;
  const FoldIndex teams = blockDim.x / team;
  for (FoldIndex first = blockIdx.x * teams; first < work.outer; first += gridDim.x * teams) {
    const FoldIndex row = first + threadIdx.x / team;
    const bool active = row < work.outer;
    typename Op::Total total = op.nothing();
    typename Op::Local local{};
    std::int64_t at[kRowInputs + 3] = {};
    if (active) {
      work.rows.locate(row, at);
      local = op.local(at[kRowInputs + 1], at[kRowInputs + 2]);
      total = work.fold_vectorized
                  ? fold_row<true>(op, work.row, at, FoldIndex{0}, work.count, lane, team, local)
                  : fold_row<false>(op, work.row, at, FoldIndex{0}, work.count, lane, team, local);
    }
    total = join_team(op, total, work.team);
    if (!active) continue;  // no barriers any more: a block that is a team is active as a whole
    const auto coefficients =
        op.finish(total, work.count, local, at[kRowInputs + 1], at[kRowInputs + 2], lane == 0);
    if (work.map_vectorized) {
      map_row<true>(op, work, at, lane, team, coefficients);
    } else {
      map_row<false>(op, work, at, lane, team, coefficients);
    }
  }
}

Strides outer_strides(const View& view, const View& mean) {
  return view.strides.slice(0, mean.ndim());
}

Strides inner_strides(const View& view, const View& mean) {
  return view.strides.slice(mean.ndim(), view.ndim());
}

/// What stands still from row to row.
Strides zeros(const View& mean) {
  return Dims::filled(mean.ndim(), 0);
}

/// Where there is no mean, what is said about it is said about rstd.
const View& mean_or(const View& mean, const View& rstd) {
  return mean.defined ? mean : rstd;
}

/// Queues `op` for every row. Operands: the inputs, out; one of a row's shape serves all rows.
template <class Op>
void launch_rows(const ExecContext& ctx, const char* name, const Op& op,
                 const std::array<View, kRowInputs + 1>& operands, const View& mean,
                 const View& rstd) {
  constexpr std::int64_t kGroup = kVector<typename Op::Element>;
  const View& out = operands[kRowInputs];
  std::array<Strides, kRowInputs + 3> across;
  std::array<Strides, kRowInputs + 1> along;
  std::array<const void*, kRowInputs + 1> data;
  for (std::size_t n = 0; n < operands.size(); ++n) {
    const bool whole = operands[n].ndim() == out.ndim();
    across[n] = whole ? outer_strides(operands[n], mean) : zeros(mean);
    along[n] = whole ? inner_strides(operands[n], mean) : operands[n].strides;
    data[n] = operands[n].data;
  }
  across[kRowInputs + 1] = mean.strides;
  across[kRowInputs + 2] = rstd.strides;
  const Shape shape = out.shape.slice(mean.ndim(), out.ndim());
  const std::int64_t count = numel(shape);
  const LoopNest<kRowInputs + 3> rows(mean.shape, across);
  const LoopNest<kRowInputs + 1> row =
      count > 0 ? LoopNest<kRowInputs + 1>(shape, along) : LoopNest<kRowInputs + 1>({}, {});
  std::array<const void*, Op::kInputs> folded;
  std::copy_n(data.begin(), folded.size(), folded.begin());

  const int team = team_of(count, kGroup);
  const bool fits = groups_fit(row, kGroup);
  const RowWork work{.rows = DeviceNest<kRowInputs + 3, FoldIndex>(rows),
                     .row = DeviceNest<kRowInputs + 1, FoldIndex>(row),
                     .outer = static_cast<FoldIndex>(mean.numel()),
                     .count = static_cast<FoldIndex>(count),
                     .team = team,
                     .fold_vectorized = fits && groups_are_aligned(folded, kGroup, row, rows),
                     .map_vectorized = fits && groups_are_aligned(data, kGroup, row, rows)};
  const std::int64_t all = mean.numel() * team;
  const int threads =
      static_cast<int>(std::min<std::int64_t>(ceil_div(all, 32) * 32, kFoldThreads));
  launch(linear_launch(ctx, name, ceil_div(all, threads), threads), row_kernel<Op>, op, work);
}

/// The gradients of weight and bias: sums of dy * xhat and of dy over the rows.
template <class T>
struct ParameterGradients : TwoSumsFold<T> {
  static constexpr int kInputs = 4;
  using Local = NoLocal;
  using Values = T[kInputs];

  const T* inputs[kInputs];          ///< dy, x, mean (or rstd, which is not looked at), rstd
  T *dweight, *dbias;                ///< or null
  DeviceNest<3, FoldIndex> columns;  ///< operands: the column's number, dweight, dbias
  bool centered;

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ TwoSums start(const Values& v, std::int64_t, Local) const {
    const T shift = centered ? v[2] : T{0};
    return {static_cast<double>(v[0] * ((v[1] - shift) * v[3])), static_cast<double>(v[0])};
  }
  __device__ void add(TwoSums& block, const Values& v, std::int64_t i, Local local) const {
    block = this->join(block, start(v, i, local));
  }
  __device__ void finish(const TwoSums& total, std::int64_t column) const {
    std::int64_t at[3];
    columns.locate(static_cast<FoldIndex>(column), at);
    if (dweight != nullptr) dweight[at[1]] = static_cast<T>(total.first);
    if (dbias != nullptr) dbias[at[2]] = static_cast<T>(total.second);
  }
};

template <class T>
void parameter_gradients(const ExecContext& ctx, const View& dy, const View& x,
                         const View& given_mean, const View& rstd, const View& dweight,
                         const View& dbias) {
  const bool centered = given_mean.defined;
  const View& mean = mean_or(given_mean, rstd);
  const Shape shape = x.shape.slice(mean.ndim(), x.ndim());
  if (numel(shape) == 0) return;
  const Strides numbers = contiguous_strides(shape);
  const Strides still = Dims::filled(shape.size(), 0);
  const LoopNest<3> columns(shape, {numbers, dweight.defined ? dweight.strides : numbers,
                                    dbias.defined ? dbias.strides : numbers});
  const ParameterGradients<T> op{{},
                                 {dy.ptr<T>(), x.ptr<T>(), mean.ptr<T>(), rstd.ptr<T>()},
                                 dweight.defined ? dweight.ptr<T>() : nullptr,
                                 dbias.defined ? dbias.ptr<T>() : nullptr,
                                 DeviceNest<3, FoldIndex>(columns),
                                 centered};
  const FoldPlan<4> plan(
      shape, {inner_strides(dy, mean), inner_strides(x, mean), still, still, numbers}, mean.shape,
      {outer_strides(dy, mean), outer_strides(x, mean), mean.strides, rstd.strides});
  fold(ctx, "layer_norm_parameter_gradients", op, plan);
}

// Layer norm and, with an undefined mean, RMS norm.
template <class T>
void forward(const ExecContext& ctx, const char* name, const View& x, const View& weight,
             const View& bias, double eps, const View& y, const View& mean, const View& rstd) {
  if (rstd.numel() == 0) return;
  const View& w = weight.defined ? weight : x;  // x is not looked at, but must not be null
  const View& b = bias.defined ? bias : x;
  const Forward<T> op{{},
                      {x.ptr<T>(), w.ptr<T>(), b.ptr<T>()},
                      y.ptr<T>(),
                      mean.defined ? mean.ptr<T>() : nullptr,
                      rstd.ptr<T>(),
                      weight.defined,
                      bias.defined,
                      eps};
  launch_rows(ctx, name, op, {x, w, b, y}, mean_or(mean, rstd), rstd);
}

template <class T>
void backward(const ExecContext& ctx, const char* name, const View& dy, const View& x,
              const View& mean, const View& rstd, const View& weight, const View& dx,
              const View& dweight, const View& dbias) {
  if (dx.defined && x.numel() > 0) {
    const View& w = weight.defined ? weight : x;
    const InputGradient<T> op{{},
                              {dy.ptr<T>(), x.ptr<T>(), w.ptr<T>()},
                              dx.ptr<T>(),
                              mean.defined ? mean.ptr<T>() : nullptr,
                              rstd.ptr<T>(),
                              weight.defined};
    launch_rows(ctx, name, op, {dy, x, w, dx}, mean_or(mean, rstd), rstd);
  }
  if (dweight.defined || dbias.defined) {
    parameter_gradients<T>(ctx, dy, x, mean, rstd, dweight, dbias);
  }
}

}  // namespace

void layer_norm_forward(ExecContext& ctx, const View& x, const View& weight, const View& bias,
                        double eps, const View& y, const View& mean, const View& rstd) {
  visit_float("layer_norm", x.dtype, [&](auto zero) {
    forward<decltype(zero)>(ctx, "layer_norm_forward", x, weight, bias, eps, y, mean, rstd);
  });
}

void layer_norm_backward(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                         const View& rstd, const View& weight, const View& dx, const View& dweight,
                         const View& dbias) {
  visit_float("layer_norm backward", x.dtype, [&](auto zero) {
    backward<decltype(zero)>(ctx, "layer_norm_input_gradient", dy, x, mean, rstd, weight, dx,
                             dweight, dbias);
  });
}

void rms_norm_forward(ExecContext& ctx, const View& x, const View& weight, double eps,
                      const View& y, const View& rstd) {
  visit_float("rms_norm", x.dtype, [&](auto zero) {
    forward<decltype(zero)>(ctx, "rms_norm_forward", x, weight, {}, eps, y, {}, rstd);
  });
}

void rms_norm_backward(ExecContext& ctx, const View& dy, const View& x, const View& rstd,
                       const View& weight, const View& dx, const View& dweight) {
  visit_float("rms_norm backward", x.dtype, [&](auto zero) {
    backward<decltype(zero)>(ctx, "rms_norm_input_gradient", dy, x, {}, rstd, weight, dx, dweight,
                             {});
  });
}

}  // namespace minidl::kernels::cuda
