// Batch normalisation. The sums are those of reduction.cuh: in NHWC neighbouring threads take
// neighbouring channels and every 8th or so pixel of a chunk, in NCHW a block takes a channel's
// pixels. Statistics: each thread takes up to 32 values of a channel relative to the first of them,
// in T, and merges their count, mean and squared deviations in f64 (Chan, Golub and LeVeque 1979);
// threads, then chunks are merged alike, in order. That is about two f64 operations an element.
//
// The elementwise halves are maps of channel_map.cuh, with coefficients per channel.
//
// Read + written per f32 element, in bytes: stats 4 + 0, apply 4 + 4, backward_reduce 8 + 0,
// backward_apply 8 + 4; channels are small beside it. All of it is memory bound.
//
// 1: as above; not measured yet.

#include <array>

#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/batch_norm_checks.h"
#include "minidl/kernels/cuda/channel_map.cuh"
#include "minidl/kernels/cuda/moments.cuh"
#include "minidl/kernels/cuda/reduction.cuh"

namespace minidl::kernels::cuda {
namespace {

/// A number per channel; `otherwise` where there is none.
template <class T>
struct Channels {
  T* data;
  std::int64_t stride;

  explicit Channels(const View& view)
      : data(view.defined ? view.ptr<T>() : nullptr), stride(view.defined ? view.strides[0] : 0) {}

  __device__ T get(std::int64_t c, T otherwise = T{}) const {
    return data != nullptr ? data[c * stride] : otherwise;
  }
  __device__ void set(std::int64_t c, T value) const { data[c * stride] = value; }
};

template <class T>
struct Stats : MomentsFold<T, T> {
  const T* inputs[1];
  Channels<T> mean, variance;

  __device__ NoLocal local(std::int64_t) const { return {}; }
  __device__ void finish(const Moments& total, std::int64_t c) const {
    mean.set(c, static_cast<T>(total.mean));
    variance.set(c, static_cast<T>(total.count > 0 ? total.squares / total.count : 0));
  }
};

/// Sums of dy and of dy * (x - mean).
template <class T>
struct Gradients {
  template <class U>
  struct Sums {
    U dy, dy_deviation;
  };
  using Element = T;
  static constexpr int kInputs = 2;
  static constexpr int kDepth = 32;
  using Local = T;  // the channel's mean
  using Block = Sums<T>;
  using Total = Sums<double>;

  const T* inputs[2];  ///< dy, x
  Channels<T> mean, inv_std, sum_dy, sum_dy_xhat;

  __device__ Local local(std::int64_t c) const { return mean.get(c); }
  __device__ Block start(const T (&v)[2], std::int64_t, Local shift) const {
    return {v[0], v[0] * (v[1] - shift)};
  }
  __device__ void add(Block& block, const T (&v)[2], std::int64_t, Local shift) const {
    block.dy += v[0];
    block.dy_deviation += v[0] * (v[1] - shift);
  }
  __device__ Total nothing() const { return {0, 0}; }
  __device__ void flush(const Block& block, int, Total& total) const {
    total.dy += static_cast<double>(block.dy);
    total.dy_deviation += static_cast<double>(block.dy_deviation);
  }
  __device__ Total join(const Total& a, const Total& b) const {
    return {a.dy + b.dy, a.dy_deviation + b.dy_deviation};
  }
  __device__ void finish(const Total& total, std::int64_t c) const {
    sum_dy.set(c, static_cast<T>(total.dy));
    sum_dy_xhat.set(c, static_cast<T>(total.dy_deviation * static_cast<double>(inv_std.get(c))));
  }
};

template <class T>
struct Apply {
  struct Channel {
    T shift, scale, offset;
  };
  using Element = T;
  static constexpr int kInputs = 1;

  T* out;
  const T* inputs[1];
  Channels<T> mean, inv_std, weight, bias;

  __device__ Channel channel(std::int64_t c) const {
    return {mean.get(c), inv_std.get(c) * weight.get(c, T{1}), bias.get(c)};
  }
  __device__ T operator()(const T (&x)[1], const Channel& c) const {
    return (x[0] - c.shift) * c.scale + c.offset;
  }
};

template <class T>
struct BackwardApply {
  struct Channel {
    T shift, scale, mean_dy, slope;
  };
  using Element = T;
  static constexpr int kInputs = 2;

  T* out;
  const T* inputs[2];  ///< dy, x
  Channels<T> mean, inv_std, weight, sum_dy, sum_dy_xhat;
  double count;

  __device__ Channel channel(std::int64_t c) const {
    const T inverse = inv_std.get(c);
    const auto average = [&](T sum) { return static_cast<T>(static_cast<double>(sum) / count); };
    return {mean.get(c), inverse * weight.get(c, T{1}), average(sum_dy.get(c)),
            inverse * average(sum_dy_xhat.get(c))};
  }
  __device__ T operator()(const T (&v)[2], const Channel& c) const {
    return c.scale * (v[0] - c.mean_dy - (v[1] - c.shift) * c.slope);
  }
};

/// Folds everything but the channels. The plan's result is the channel's number.
template <int N>
FoldPlan<N> fold_rows(const std::array<const View*, N>& operands) {
  std::array<Strides, N + 1> kept;
  for (std::size_t i = 0; i < N; ++i) kept[i] = {channel_stride(*operands[i])};
  kept[N] = {1};
  const Shape& shape = operands[0]->shape;
  return {{shape[1]}, kept, without_channels(shape), row_strides<N>(operands)};
}

}  // namespace

void batch_norm_stats(ExecContext& ctx, const View& x, const View& mean, const View& variance) {
  constexpr const char* op = "batch_norm";
  check_images(op, {&x});
  check_per_channel(op, x, {&mean, &variance});
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Stats<T> stats{{}, {x.ptr<T>()}, Channels<T>(mean), Channels<T>(variance)};
    fold(ctx, "batch_norm_stats", stats, fold_rows<1>({&x}));
  });
}

void batch_norm_apply(ExecContext& ctx, const View& x, const View& mean, const View& inv_std,
                      const View& weight, const View& bias, const View& y) {
  constexpr const char* op = "batch_norm";
  check_images(op, {&y, &x});
  check_per_channel(op, x, {&mean, &inv_std, &weight, &bias});
  if (x.numel() == 0) return;
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Apply<T> apply{y.ptr<T>(),           {x.ptr<T>()},        Channels<T>(mean),
                         Channels<T>(inv_std), Channels<T>(weight), Channels<T>(bias)};
    apply_map(ctx, "batch_norm_apply", apply, {&y, &x});
  });
}

void batch_norm_backward_reduce(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                                const View& inv_std, const View& sum_dy, const View& sum_dy_xhat) {
  constexpr const char* op = "batch_norm backward";
  check_images(op, {&dy, &x});
  check_per_channel(op, x, {&mean, &inv_std, &sum_dy, &sum_dy_xhat});
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Gradients<T> gradients{{dy.ptr<T>(), x.ptr<T>()},
                                 Channels<T>(mean),
                                 Channels<T>(inv_std),
                                 Channels<T>(sum_dy),
                                 Channels<T>(sum_dy_xhat)};
    fold(ctx, "batch_norm_backward_reduce", gradients, fold_rows<2>({&dy, &x}));
  });
}

void batch_norm_backward_apply(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                               const View& inv_std, const View& weight, const View& sum_dy,
                               const View& sum_dy_xhat, double count, const View& dx) {
  constexpr const char* op = "batch_norm backward";
  check_images(op, {&dx, &dy, &x});
  check_per_channel(op, x, {&mean, &inv_std, &weight, &sum_dy, &sum_dy_xhat});
  if (x.numel() == 0) return;
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const BackwardApply<T> apply{dx.ptr<T>(),
                                 {dy.ptr<T>(), x.ptr<T>()},
                                 Channels<T>(mean),
                                 Channels<T>(inv_std),
                                 Channels<T>(weight),
                                 Channels<T>(sum_dy),
                                 Channels<T>(sum_dy_xhat),
                                 count};
    apply_map(ctx, "batch_norm_backward_apply", apply, {&dx, &dy, &x});
  });
}

}  // namespace minidl::kernels::cuda
