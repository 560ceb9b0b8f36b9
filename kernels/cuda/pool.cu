// Maximum and average over windows of an image, and their gradients.
//
// In NHWC a thread computes 16 bytes of the result (elements.cuh): that is 4 f32 channels of a
// pixel, and every load takes as many. Other layouts go element by element, threads along what is
// dense in the result. The gradients gather: a pixel of dx adds up what the
// windows around it have for it, from the first to the last. There are no atomics, each element is
// written once, and sums are in the order of the CPU.
//
// Bytes of memory for f32, with windows of k x k and stride s: per element of y, forward s * s * 4
// read (k * k * 4 from the caches), 4 written, 4 more for an index; backward s * s * 4 written and
// 4 read (ceil(k / s)^2 * 4 from the caches), 4 more for an index. A thread's share of the index
// arithmetic is 4 divisions by multiplication and two ranges; that of an adaptive window takes real
// divisions.
//
// Versions
//   1: 16 bytes of the result per thread, not measured yet
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "minidl/kernels/cuda/gather.cuh"
#include "minidl/kernels/pool.h"
#include "minidl/kernels/pool_windows.h"

namespace minidl::kernels::cuda {
namespace {

/// One dimension of the images.
class Axis {
 public:
  Axis(const PoolWindow& window, std::int64_t in, std::int64_t out, bool count_include_pad)
      : window_(window), in_(in), out_(out), count_include_pad_(count_include_pad) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    fits32_ = in <= kMost - window.padding && window.stride <= kMost;
    if (fits32_) stride_ = Divisor32(static_cast<std::uint32_t>(window.stride));
  }

  /// What feeds output `o`.
  __device__ Window inputs(std::int64_t o) const {
    return window_of(window_, count_include_pad_, o, in_, out_);
  }

  struct Range {
    std::int64_t begin, end;
  };
  /// The outputs whose windows reach over input `i`.
  __device__ Range outputs(std::int64_t i) const {
    if (window_.adaptive) {
      const auto range = window_.range(i, out_, in_);  // the relation is symmetric
      return {range[0], range[1]};
    }
    const std::int64_t last = i + window_.padding;
    const std::int64_t span = window_.span();
    const std::int64_t begin = last < span ? 0 : windows_before(last - span) + 1;
    const std::int64_t end = windows_before(last) + 1;
    return {begin, end < out_ ? end : out_};
  }

  __device__ std::int64_t in() const { return in_; }
  __device__ std::int64_t step() const { return window_.dilation; }

 private:
  __device__ std::int64_t windows_before(std::int64_t padded) const {
    return fits32_ ? stride_.divide(static_cast<std::uint32_t>(padded)) : padded / window_.stride;
  }

  PoolWindow window_;
  std::int64_t in_, out_;
  bool count_include_pad_;
  bool fits32_;
  Divisor32 stride_;
};

/// What is read from: pixels of a plane, which is one channel of one image.
template <class T>
class Pixels {
 public:
  explicit Pixels(const View& view)
      : data_(view.ptr<T>()),
        row_stride_(view.strides[2]),
        col_stride_(view.strides[3]),
        aligned_(keeps_alignment(view, 2, 4)) {}  // planes_of() has the others looked after

  /// The pixel of N planes that lie next to each other.
  template <int N>
  __device__ Pack<T, N> load(std::int64_t plane, std::int64_t row, std::int64_t col) const {
    return load_pack<N>(data_ + plane + row * row_stride_ + col * col_stride_, aligned_);
  }

 private:
  const T* data_;
  std::int64_t row_stride_, col_stride_;
  bool aligned_;
};

/// The number of a plane, as its offset.
Numbers planes_of(const View& view) {
  return Numbers::offsets({view.strides[0], view.strides[1], 0, 0});
}
Numbers rows_of() {
  return Numbers::offsets({0, 0, 1, 0});
}
Numbers cols_of() {
  return Numbers::offsets({0, 0, 0, 1});
}

/// Whether the images are NHWC, or the like.
bool dense_channels(std::initializer_list<View> images) {
  return std::all_of(images.begin(), images.end(),
                     [](const View& image) { return image.strides[1] == 1; });
}

template <class T>
struct MaxForward {
  Pixels<T> x;
  Axis height, width;

  template <int N>
  __device__ void operator()(Pack<T, N>& y, Pack<std::int32_t, N>& indices,
                             const Offsets<N>& planes, const Offsets<N>& p,
                             const Offsets<N>& q) const {
    const Window rows = height.inputs(p.at[0]);
    const Window cols = width.inputs(q.at[0]);
    auto best = x.template load<N>(planes.at[0], rows.begin, cols.begin);
    Pack<std::int32_t, N> best_index;
    const auto corner = static_cast<std::int32_t>(rows.begin * width.in() + cols.begin);
#pragma unroll
    for (int k = 0; k < N; ++k) best_index.at[k] = corner;
    for (std::int64_t h = rows.begin; h < rows.end; h += height.step()) {
      for (std::int64_t w = cols.begin; w < cols.end; w += width.step()) {
        const auto values = x.template load<N>(planes.at[0], h, w);
        const auto index = static_cast<std::int32_t>(h * width.in() + w);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const T value = values.at[k];
          const T current = best.at[k];
          // `!(<=)` also holds for a NaN, which then stays.
          if (!(value <= current) && current == current) {
            best.at[k] = value;
            best_index.at[k] = index;
          }
        }
      }
    }
    y = best;
    indices = best_index;
  }
};

template <class T>
struct MaxBackward {
  Pixels<T> dy;
  Pixels<std::int32_t> indices;
  Axis height, width;

  template <int N>
  __device__ void operator()(Pack<T, N>& dx, const Offsets<N>& dy_planes,
                             const Offsets<N>& index_planes, const Offsets<N>& h,
                             const Offsets<N>& w) const {
    const Axis::Range rows = height.outputs(h.at[0]);
    const Axis::Range cols = width.outputs(w.at[0]);
    const std::int64_t here = h.at[0] * width.in() + w.at[0];
    Pack<T, N> sum{};
    for (std::int64_t p = rows.begin; p < rows.end; ++p) {
      for (std::int64_t q = cols.begin; q < cols.end; ++q) {
        const auto index = indices.template load<N>(index_planes.at[0], p, q);
        const auto grad = dy.template load<N>(dy_planes.at[0], p, q);
#pragma unroll
        for (int k = 0; k < N; ++k) sum.at[k] += index.at[k] == here ? grad.at[k] : T{0};
      }
    }
    dx = sum;
  }
};

template <class T>
struct AvgForward {
  Pixels<T> x;
  Axis height, width;

  template <int N>
  __device__ void operator()(Pack<T, N>& y, const Offsets<N>& planes, const Offsets<N>& p,
                             const Offsets<N>& q) const {
    const Window rows = height.inputs(p.at[0]);
    const Window cols = width.inputs(q.at[0]);
    Pack<T, N> sum{};
    for (std::int64_t h = rows.begin; h < rows.end; ++h) {
      for (std::int64_t w = cols.begin; w < cols.end; ++w) {
        const auto values = x.template load<N>(planes.at[0], h, w);
#pragma unroll
        for (int k = 0; k < N; ++k) sum.at[k] += values.at[k];
      }
    }
    const T scale = T{1} / static_cast<T>(rows.divisor * cols.divisor);
#pragma unroll
    for (int k = 0; k < N; ++k) y.at[k] = sum.at[k] * scale;
  }
};

template <class T>
struct AvgBackward {
  Pixels<T> dy;
  Axis height, width;

  template <int N>
  __device__ void operator()(Pack<T, N>& dx, const Offsets<N>& planes, const Offsets<N>& h,
                             const Offsets<N>& w) const {
    const Axis::Range rows = height.outputs(h.at[0]);
    const Axis::Range cols = width.outputs(w.at[0]);
    Pack<T, N> sum{};
    for (std::int64_t p = rows.begin; p < rows.end; ++p) {
      const std::int64_t row_divisor = height.inputs(p).divisor;
      for (std::int64_t q = cols.begin; q < cols.end; ++q) {
        const T scale = T{1} / static_cast<T>(row_divisor * width.inputs(q).divisor);
        const auto grad = dy.template load<N>(planes.at[0], p, q);
#pragma unroll
        for (int k = 0; k < N; ++k) sum.at[k] += grad.at[k] * scale;
      }
    }
    dx = sum;
  }
};

struct Axes {
  Axis height, width;

  Axes(const char* op, const Pool2dParams& params, const View& x, const View& y)
      : height(params.height, x.size(2), y.size(2), params.count_include_pad),
        width(params.width, x.size(3), y.size(3), params.count_include_pad) {
    if (y.numel() == 0) return;
    check_windows(op, params.height, x.size(2), y.size(2));
    check_windows(op, params.width, x.size(3), y.size(3));
  }
};

}  // namespace

void max_pool2d_forward(ExecContext& ctx, const Pool2dParams& params, const View& x, const View& y,
                        const View& indices) {
  constexpr const char* op = "max_pool2d";
  check_pool_shapes(op, x, y);
  check_pool_indices(op, x, y, indices);
  const Axes axes(op, params, x, y);
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_pack_along<16 / sizeof(T)>(dense_channels({x, y, indices}), 1, ctx, op, y.shape,
                                        MaxForward<T>{Pixels<T>(x), axes.height, axes.width},
                                        Writes<T>{y}, Writes<std::int32_t>{indices}, planes_of(x),
                                        rows_of(), cols_of());
  });
}

void max_pool2d_backward(ExecContext& ctx, const Pool2dParams& params, const View& dy,
                         const View& indices, const View& dx) {
  constexpr const char* op = "max_pool2d backward";
  check_pool_shapes(op, dx, dy);
  check_pool_indices(op, dx, dy, indices);
  const Axes axes(op, params, dx, dy);
  visit_float(op, dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    const MaxBackward<T> gather{Pixels<T>(dy), Pixels<std::int32_t>(indices), axes.height,
                                axes.width};
    for_each_pack_along<16 / sizeof(T)>(dense_channels({dx, dy, indices}), 1, ctx, op, dx.shape,
                                        gather, Writes<T>{dx}, planes_of(dy), planes_of(indices),
                                        rows_of(), cols_of());
  });
}

void avg_pool2d_forward(ExecContext& ctx, const Pool2dParams& params, const View& x,
                        const View& y) {
  constexpr const char* op = "avg_pool2d";
  check_pool_shapes(op, x, y);
  const Axes axes(op, params, x, y);
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_pack_along<16 / sizeof(T)>(dense_channels({x, y}), 1, ctx, op, y.shape,
                                        AvgForward<T>{Pixels<T>(x), axes.height, axes.width},
                                        Writes<T>{y}, planes_of(x), rows_of(), cols_of());
  });
}

void avg_pool2d_backward(ExecContext& ctx, const Pool2dParams& params, const View& dy,
                         const View& dx) {
  constexpr const char* op = "avg_pool2d backward";
  check_pool_shapes(op, dx, dy);
  const Axes axes(op, params, dx, dy);
  visit_float(op, dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_pack_along<16 / sizeof(T)>(dense_channels({dx, dy}), 1, ctx, op, dx.shape,
                                        AvgBackward<T>{Pixels<T>(dy), axes.height, axes.width},
                                        Writes<T>{dx}, planes_of(dy), rows_of(), cols_of());
  });
}

}  // namespace minidl::kernels::cuda
