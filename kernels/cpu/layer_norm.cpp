// All arithmetic runs over dense rows, so that it vectorises: a row that is strided in memory is
// copied into a buffer of its thread first, or from it afterwards.

#include "minidl/kernels/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kLanes = 8;
// How the rows are cut for the parameters' gradients: by their number, never by that of threads.
constexpr std::int64_t kMinBlockRows = 8;
constexpr std::int64_t kMaxBlocks = 32;

/// A row (the dimensions from `first_dim` on) of a view as dense memory.
class Row {
 public:
  Row(const View& view, int first_dim)
      : shape_(view.shape.slice(first_dim, view.ndim())),
        strides_(view.strides.slice(first_dim, view.ndim())),
        dense_(is_contiguous(shape_, strides_)),
        nest_(shape_, {contiguous_strides(shape_), strides_}) {}

  std::int64_t count() const { return numel(shape_); }
  bool dense() const { return dense_; }

  /// The elements of the row that starts at `data`, copied into `buffer` unless they are dense.
  template <class T>
  const T* load(const T* data, T* buffer) const {
    if (dense_) return data;
    walk(buffer, data, [](T& copy, const T& element) { copy = element; });
    return buffer;
  }

  /// Where to write the row that starts at `data`: there, or into `buffer` for `store`.
  template <class T>
  T* target(T* data, T* buffer) const {
    return dense_ ? data : buffer;
  }
  template <class T>
  void store(T* data, T* buffer) const {
    if (!dense_) walk(buffer, data, [](T& copy, T& element) { element = copy; });
  }

 private:
  template <class T, class U, class F>
  void walk(T* dense, U* strided, const F& f) const {
    walk_rows(nest_, 0, count(), [&](const auto& at, std::int64_t length) {
      for (std::int64_t i = 0; i < length; ++i) {
        f(dense[at[0] + i * nest_.inner_stride(0)], strided[at[1] + i * nest_.inner_stride(1)]);
      }
    });
  }

  Shape shape_;
  Strides strides_;
  bool dense_;
  LoopNest<2> nest_;
};

/// `count` dense numbers: those of `view`, or `otherwise` where it is undefined.
template <class T>
class Parameter {
 public:
  Parameter(const ExecContext& ctx, const View& view, std::int64_t count, T otherwise)
      : memory_(ctx.workspace(static_cast<std::size_t>(count) * sizeof(T))),
        data_(memory_.template as<T>()) {
    if (view.defined) {
      data_ = Row(view, 0).load(view.ptr<T>(), memory_.template as<T>());
    } else {
      std::fill_n(memory_.template as<T>(), count, otherwise);
    }
  }

  const T* data() const { return data_; }

 private:
  Buffer memory_;
  const T* data_;
};

template <int N>
LoopNest<N> rows_of(const Shape& shape, const std::array<const View*, N>& operands) {
  std::array<Strides, N> strides;
  for (std::size_t i = 0; i < N; ++i) strides[i] = operands[i]->strides.slice(0, shape.size());
  return {shape, strides};
}

/// Calls body(offsets) for each of the rows begin..end-1.
template <int N, class Body>
void walk_each(const LoopNest<N>& rows, std::int64_t begin, std::int64_t end, const Body& body) {
  walk_rows(rows, begin, end, [&](auto at, std::int64_t count) {
    for (; count > 0; --count) {
      body(at);
      for (int i = 0; i < N; ++i) at[static_cast<std::size_t>(i)] += rows.inner_stride(i);
    }
  });
}

/// The sum of f(i) for i in 0..count-1, on several lanes at once.
template <class F>
double sum_of(std::int64_t count, const F& f) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t k = 0; k < kLanes; ++k) lanes[k] += f(i + k);
  }
  double sum = 0;
  for (; i < count; ++i) sum += f(i);
  for (const double lane : lanes) sum += lane;
  return sum;
}

// The steps below work on one dense row of `count` elements.

struct Moments {
  double mean;
  double variance;
};

template <class T>
Moments moments_of(const T* x, std::int64_t count) {
  const auto divisor = static_cast<double>(std::max<std::int64_t>(count, 1));
  const double mean = sum_of(count, [&](auto i) { return double{x[i]}; }) / divisor;
  const double squares = sum_of(count, [&](auto i) {
    const double deviation = double{x[i]} - mean;
    return deviation * deviation;
  });
  return {mean, squares / divisor};
}

/// Around 0 instead of the mean.
template <class T>
Moments raw_moments_of(const T* x, std::int64_t count) {
  const auto divisor = static_cast<double>(std::max<std::int64_t>(count, 1));
  return {0, sum_of(count, [&](auto i) { return double{x[i]} * double{x[i]}; }) / divisor};
}

template <class T>
void input_gradient(bool centered, const T* dy, const T* weight, const T* xhat, T rstd,
                    std::int64_t count, T* dx) {
  const auto divisor = static_cast<double>(std::max<std::int64_t>(count, 1));
  const double sum_g =
      centered ? sum_of(count, [&](auto i) { return double{dy[i] * weight[i]}; }) : 0;
  const double sum_g_xhat =
      sum_of(count, [&](auto i) { return double{dy[i] * weight[i] * xhat[i]}; });
  const T mean_g = static_cast<T>(sum_g / divisor);
  const T slope = static_cast<T>(sum_g_xhat / divisor);
  for (std::int64_t i = 0; i < count; ++i) {
    dx[i] = rstd * (dy[i] * weight[i] - mean_g - xhat[i] * slope);
  }
}

// sums: first those of dy * xhat, then those of dy.
template <class T>
void add_parameter_gradients(const T* dy, const T* xhat, std::int64_t count, double* sums) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += double{dy[i] * xhat[i]};
  for (std::int64_t i = 0; i < count; ++i) sums[count + i] += double{dy[i]};
}

// Layer norm and, with an undefined mean, RMS norm.
template <class T>
void forward(ExecContext& ctx, const View& x, const View& weight, const View& bias, double eps,
             const View& y, const View& mean, const View& rstd) {
  const bool centered = mean.defined;
  const Row x_row(x, rstd.ndim());
  const Row y_row(y, rstd.ndim());
  const std::int64_t count = x_row.count();
  const Parameter<T> weights(ctx, weight, count, T{1});
  const Parameter<T> biases(ctx, bias, count, T{0});
  const T* const w = weights.data();
  const T* const b = biases.data();
  const LoopNest<4> rows = rows_of<4>(rstd.shape, {centered ? &mean : &rstd, &rstd, &x, &y});
  const auto normalize = [&](std::int64_t begin, std::int64_t end) {
    const Buffer memory = ctx.workspace(static_cast<std::size_t>(2 * count) * sizeof(T));
    T* const x_buffer = memory.as<T>();
    T* const y_buffer = x_buffer + count;
    walk_each(rows, begin, end, [&](const auto& at) {
      const T* from = x_row.load(x.ptr<T>() + at[2], x_buffer);
      const Moments moments = centered ? moments_of(from, count) : raw_moments_of(from, count);
      const T shift = static_cast<T>(moments.mean);
      const T scale = static_cast<T>(1 / std::sqrt(moments.variance + eps));
      if (centered) mean.ptr<T>()[at[0]] = shift;
      rstd.ptr<T>()[at[1]] = scale;
      T* to = y_row.target(y.ptr<T>() + at[3], y_buffer);
      for (std::int64_t i = 0; i < count; ++i) to[i] = (from[i] - shift) * scale * w[i] + b[i];
      y_row.store(y.ptr<T>() + at[3], y_buffer);
    });
  };
  parallel_for(rstd.numel(), kGrain / std::max<std::int64_t>(count, 1), normalize);
}

template <class T>
void backward(ExecContext& ctx, const View& dy, const View& x, const View& mean, const View& rstd,
              const View& weight, const View& dx, const View& dweight, const View& dbias) {
  const bool centered = mean.defined;
  const Row dy_row(dy, rstd.ndim());
  const Row x_row(x, rstd.ndim());
  const Row dx_row(dx.defined ? dx : x, rstd.ndim());
  const bool wants_parameters = dweight.defined || dbias.defined;
  const std::int64_t count = x_row.count();
  const Parameter<T> weights(ctx, weight, count, T{1});
  const T* const w = weights.data();

  const std::int64_t row_count = rstd.numel();
  const std::int64_t block_rows =
      std::max(kMinBlockRows, (row_count + kMaxBlocks - 1) / kMaxBlocks);
  const std::int64_t blocks = (row_count + block_rows - 1) / block_rows;
  const std::int64_t sums_size = wants_parameters ? 2 * count : 0;
  const std::int64_t all_sums = std::max<std::int64_t>(blocks, 1) * sums_size;
  const Buffer sums_memory = ctx.workspace(static_cast<std::size_t>(all_sums) * sizeof(double));
  double* const sums = sums_memory.as<double>();
  std::fill_n(sums, all_sums, 0.0);
  const LoopNest<5> rows =
      rows_of<5>(rstd.shape, {centered ? &mean : &rstd, &rstd, &dy, &x, dx.defined ? &dx : &x});

  const auto differentiate = [&](std::int64_t first, std::int64_t last) {
    const Buffer memory = ctx.workspace(static_cast<std::size_t>(4 * count) * sizeof(T));
    T* const dy_buffer = memory.as<T>();
    T* const x_buffer = dy_buffer + count;
    T* const dx_buffer = x_buffer + count;
    T* const xhat = dx_buffer + count;
    for (std::int64_t block = first; block < last; ++block) {
      const std::int64_t end = std::min((block + 1) * block_rows, row_count);
      walk_each(rows, block * block_rows, end, [&](const auto& at) {
        const T shift = centered ? mean.ptr<T>()[at[0]] : T{0};
        const T scale = rstd.ptr<T>()[at[1]];
        const T* g = dy_row.load(dy.ptr<T>() + at[2], dy_buffer);
        const T* from = x_row.load(x.ptr<T>() + at[3], x_buffer);
        for (std::int64_t i = 0; i < count; ++i) xhat[i] = (from[i] - shift) * scale;
        if (wants_parameters) {
          add_parameter_gradients(g, xhat, count, sums + block * sums_size);
        }
        if (!dx.defined) return;
        T* to = dx_row.target(dx.ptr<T>() + at[4], dx_buffer);
        input_gradient(centered, g, w, xhat, scale, count, to);
        dx_row.store(dx.ptr<T>() + at[4], dx_buffer);
      });
    }
  };
  parallel_for(blocks, kGrain / std::max<std::int64_t>(block_rows * count, 1), differentiate);

  if (!wants_parameters) return;
  for (std::int64_t block = 1; block < blocks; ++block) {
    const double* const from = sums + block * sums_size;
    for (std::int64_t i = 0; i < sums_size; ++i) sums[i] += from[i];
  }
  const auto put = [&](const View& gradient, const double* from) {
    if (!gradient.defined) return;
    const Row row(gradient, 0);
    const Buffer memory = ctx.workspace(static_cast<std::size_t>(count) * sizeof(T));
    T* to = row.target(gradient.ptr<T>(), memory.as<T>());
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(from[i]);
    row.store(gradient.ptr<T>(), memory.as<T>());
  };
  put(dweight, sums);
  put(dbias, sums + count);
}

}  // namespace

void layer_norm_forward(ExecContext& ctx, const View& x, const View& weight, const View& bias,
                        double eps, const View& y, const View& mean, const View& rstd) {
  visit_float("layer_norm", x.dtype, [&](auto zero) {
    forward<decltype(zero)>(ctx, x, weight, bias, eps, y, mean, rstd);
  });
}

void layer_norm_backward(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                         const View& rstd, const View& weight, const View& dx, const View& dweight,
                         const View& dbias) {
  visit_float("layer_norm backward", x.dtype, [&](auto zero) {
    backward<decltype(zero)>(ctx, dy, x, mean, rstd, weight, dx, dweight, dbias);
  });
}

void rms_norm_forward(ExecContext& ctx, const View& x, const View& weight, double eps,
                      const View& y, const View& rstd) {
  visit_float("rms_norm", x.dtype,
              [&](auto zero) { forward<decltype(zero)>(ctx, x, weight, {}, eps, y, {}, rstd); });
}

void rms_norm_backward(ExecContext& ctx, const View& dy, const View& x, const View& rstd,
                       const View& weight, const View& dx, const View& dweight) {
  visit_float("rms_norm backward", x.dtype, [&](auto zero) {
    backward<decltype(zero)>(ctx, dy, x, {}, rstd, weight, dx, dweight, {});
  });
}

}  // namespace minidl::kernels::cpu
