#include "minidl/kernels/upsample.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cpu/pixels.h"

namespace minidl::kernels::cpu {
namespace {

/// What an output index reads along one dimension: two neighbours, the second with this weight.
struct Tap {
  std::int64_t first;
  std::int64_t second;
  double weight;
};

Tap nearest_tap(double scale, std::int64_t o, std::int64_t in, std::int64_t out) {
  // In integers where possible: the rounding of a ratio would move pixels.
  const std::int64_t at =
      scale > 0 ? static_cast<std::int64_t>(static_cast<double>(o) / scale) : o * in / out;
  const std::int64_t pixel = std::min(at, in - 1);
  return {pixel, pixel, 0};
}

Tap bilinear_tap(const Upsample2dParams& params, double scale, std::int64_t o, std::int64_t in,
                 std::int64_t out) {
  const auto index = static_cast<double>(o);
  double at = 0;
  if (params.align_corners) {
    if (out > 1) at = index * static_cast<double>(in - 1) / static_cast<double>(out - 1);
  } else {
    const double step = scale > 0 ? 1 / scale : static_cast<double>(in) / static_cast<double>(out);
    at = std::max((index + 0.5) * step - 0.5, 0.0);
  }
  const std::int64_t first = std::min(static_cast<std::int64_t>(at), in - 1);
  return {first, std::min(first + 1, in - 1), std::min(at - static_cast<double>(first), 1.0)};
}

std::vector<Tap> make_taps(const Upsample2dParams& params, std::size_t dim, std::int64_t in,
                           std::int64_t out) {
  std::vector<Tap> taps;
  taps.reserve(static_cast<std::size_t>(out));
  for (std::int64_t o = 0; o < out; ++o) {
    taps.push_back(params.bilinear ? bilinear_tap(params, params.scale[dim], o, in, out)
                                   : nearest_tap(params.scale[dim], o, in, out));
  }
  return taps;
}

void check_images(const char* op, const View& x, const View& y) {
  check(x.ndim() == 4 && y.ndim() == 4 && x.size(0) == y.size(0) && x.size(1) == y.size(1) &&
            x.dtype == y.dtype && (x.numel() > 0 || y.numel() == 0),
        "{}: images {}{} do not become {}{}", op, x.dtype, x.shape, y.dtype, y.shape);
}

/// A pixel as the sum of four, for a row of channels.
template <class T>
struct Corners {
  T weights[4];

  Corners(const Tap& row, const Tap& col)
      : weights{static_cast<T>((1 - row.weight) * (1 - col.weight)),
                static_cast<T>((1 - row.weight) * col.weight),
                static_cast<T>(row.weight * (1 - col.weight)),
                static_cast<T>(row.weight * col.weight)} {}
};

template <class T>
void forward(const Upsample2dParams& params, const View& x_view, const View& y_view) {
  const std::vector<Tap> rows = make_taps(params, 0, x_view.size(2), y_view.size(2));
  const std::vector<Tap> cols = make_taps(params, 1, x_view.size(3), y_view.size(3));
  const Pixels<const T> x(x_view);
  const Pixels<T> y(y_view);
  const std::int64_t channels = y_view.size(1);
  const std::int64_t height = y_view.size(2);
  const std::int64_t width = y_view.size(3);
  with_channel_stride(x.channel_stride == 1 && y.channel_stride == 1, [&](auto stride_of) {
    const auto xs = stride_of(x);
    const auto ys = stride_of(y);
    const auto nearest = [&](std::int64_t image, const Tap& row, const Tap& col, T* to) {
      const T* from = x.at(image, row.first, col.first);
      for (std::int64_t c = 0; c < channels; ++c) to[c * ys] = from[c * xs];
    };
    const auto bilinear = [&](std::int64_t image, const Tap& row, const Tap& col, T* to) {
      const T* a = x.at(image, row.first, col.first);
      const T* b = x.at(image, row.first, col.second);
      const T* c = x.at(image, row.second, col.first);
      const T* d = x.at(image, row.second, col.second);
      const auto& w = Corners<T>(row, col).weights;
      for (std::int64_t i = 0; i < channels; ++i) {
        to[i * ys] = w[0] * a[i * xs] + w[1] * b[i * xs] + w[2] * c[i * xs] + w[3] * d[i * xs];
      }
    };
    const std::int64_t grain = kMinTaskSize / std::max<std::int64_t>(width * channels, 1);
    parallel_for(y_view.size(0) * height, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Tap& row = rows[static_cast<std::size_t>(i % height)];
        for (std::int64_t q = 0; q < width; ++q) {
          const Tap& col = cols[static_cast<std::size_t>(q)];
          T* to = y.at(i / height, i % height, q);
          params.bilinear ? bilinear(i / height, row, col, to) : nearest(i / height, row, col, to);
        }
      }
    });
  });
}

template <class T>
void backward(const Upsample2dParams& params, const View& dy_view, const View& dx_view) {
  const std::vector<Tap> rows = make_taps(params, 0, dx_view.size(2), dy_view.size(2));
  const std::vector<Tap> cols = make_taps(params, 1, dx_view.size(3), dy_view.size(3));
  const Pixels<const T> dy(dy_view);
  const Pixels<T> dx(dx_view);
  with_channel_stride(dy.channel_stride == 1 && dx.channel_stride == 1, [&](auto stride_of) {
    const auto dys = stride_of(dy);
    const auto dxs = stride_of(dx);
    const auto add = [&](const T* from, T* to, T weight, std::int64_t first, std::int64_t end) {
      for (std::int64_t c = first; c < end; ++c) to[c * dxs] += weight * from[c * dys];
    };
    const auto scatter = [&](std::int64_t image, const Tap& row, const Tap& col, const T* from,
                             std::int64_t first, std::int64_t end) {
      if (!params.bilinear) return add(from, dx.at(image, row.first, col.first), T{1}, first, end);
      const auto& w = Corners<T>(row, col).weights;
      add(from, dx.at(image, row.first, col.first), w[0], first, end);
      add(from, dx.at(image, row.first, col.second), w[1], first, end);
      add(from, dx.at(image, row.second, col.first), w[2], first, end);
      add(from, dx.at(image, row.second, col.second), w[3], first, end);
    };
    const auto block = [&](std::int64_t image, std::int64_t first, std::int64_t end) {
      zero(dx, dx_view.shape, image, first, end, dxs);
      for (std::int64_t p = 0; p < dy_view.size(2); ++p) {
        for (std::int64_t q = 0; q < dy_view.size(3); ++q) {
          scatter(image, rows[static_cast<std::size_t>(p)], cols[static_cast<std::size_t>(q)],
                  dy.at(image, p, q), first, end);
        }
      }
    };
    for_each_channel_block(dx_view.size(0), dx_view.size(1), dy_view.size(2) * dy_view.size(3),
                           block);
  });
}

}  // namespace

void upsample2d_forward(ExecContext&, const Upsample2dParams& params, const View& x,
                        const View& y) {
  constexpr const char* op = "interpolate";
  check_images(op, x, y);
  if (y.numel() == 0) return;
  visit_float(op, x.dtype, [&](auto t) { forward<decltype(t)>(params, x, y); });
}

void upsample2d_backward(ExecContext&, const Upsample2dParams& params, const View& dy,
                         const View& dx) {
  constexpr const char* op = "interpolate backward";
  check_images(op, dx, dy);
  if (dx.numel() == 0) return;
  visit_float(op, dx.dtype, [&](auto t) { backward<decltype(t)>(params, dy, dx); });
}

}  // namespace minidl::kernels::cpu
