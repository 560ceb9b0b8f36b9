// Every kernel walks over the windows and, within one, over the channels: dense in NHWC, so that
// the innermost loops vectorise.

#include "minidl/kernels/pool.h"

#include <algorithm>
#include <vector>

#include "minidl/kernels/cpu/pixels.h"
#include "minidl/kernels/pool_windows.h"

namespace minidl::kernels::cpu {
namespace {

/// The windows along one dimension.
std::vector<Window> make_windows(const char* op, const PoolWindow& params, std::int64_t in,
                                 std::int64_t out, bool count_include_pad) {
  check_windows(op, params, in, out);
  std::vector<Window> windows;
  windows.reserve(static_cast<std::size_t>(out));
  for (std::int64_t o = 0; o < out; ++o) {
    windows.push_back(window_of(params, count_include_pad, o, in, out));
  }
  return windows;
}

struct Problem {
  std::int64_t images, channels, out_height, out_width, width;
  std::int64_t row_step, col_step;  // from one pixel of a window to the next
  std::vector<Window> rows;
  std::vector<Window> cols;

  Problem(const char* op, const Pool2dParams& params, const View& x, const View& y)
      : images(y.size(0)),
        channels(y.size(1)),
        out_height(y.size(2)),
        out_width(y.size(3)),
        width(x.size(3)),
        row_step(params.height.dilation),
        col_step(params.width.dilation) {
    if (empty()) return;
    rows = make_windows(op, params.height, x.size(2), out_height, params.count_include_pad);
    cols = make_windows(op, params.width, width, out_width, params.count_include_pad);
  }

  /// No output at all.
  bool empty() const { return images * channels * out_height * out_width == 0; }

  /// Calls body(image, p, q, row window, column window) for every output pixel, in parallel.
  template <class Body>
  void for_each_output(const Body& body) const {
    if (empty()) return;
    const std::int64_t grain = kMinTaskSize / std::max<std::int64_t>(out_width * channels, 1);
    parallel_for(images * out_height, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t q = 0; q < out_width; ++q) {
          const std::int64_t p = i % out_height;
          body(i / out_height, p, q, rows[static_cast<std::size_t>(p)],
               cols[static_cast<std::size_t>(q)]);
        }
      }
    });
  }
};

template <class T>
void max_forward(const Problem& problem, const View& x_view, const View& y_view,
                 const View& indices_view) {
  const Pixels<const T> x(x_view);
  const Pixels<T> y(y_view);
  const Pixels<std::int32_t> indices(indices_view);
  const bool dense = x.channel_stride == 1 && y.channel_stride == 1 && indices.channel_stride == 1;
  with_channel_stride(dense, [&](auto stride_of) {
    const auto xs = stride_of(x);
    const auto ys = stride_of(y);
    const auto is = stride_of(indices);
    problem.for_each_output([&](std::int64_t image, std::int64_t p, std::int64_t q,
                                const Window& rows, const Window& cols) {
      const std::int64_t channels = problem.channels;
      T* best = y.at(image, p, q);
      std::int32_t* best_index = indices.at(image, p, q);
      const T* corner = x.at(image, rows.begin, cols.begin);
      const auto corner_index = static_cast<std::int32_t>(rows.begin * problem.width + cols.begin);
      for (std::int64_t c = 0; c < channels; ++c) {
        best[c * ys] = corner[c * xs];
        best_index[c * is] = corner_index;
      }
      for (std::int64_t h = rows.begin; h < rows.end; h += problem.row_step) {
        for (std::int64_t w = cols.begin; w < cols.end; w += problem.col_step) {
          const T* pixel = x.at(image, h, w);
          const auto index = static_cast<std::int32_t>(h * problem.width + w);
          for (std::int64_t c = 0; c < channels; ++c) {
            const T value = pixel[c * xs];
            const T current = best[c * ys];
            // Bitwise so that there is no branch. `!(<=)` also holds for a NaN, which then stays.
            const bool better = !(value <= current) & (current == current);
            best[c * ys] = better ? value : current;
            best_index[c * is] = better ? index : best_index[c * is];
          }
        }
      }
    });
  });
}

template <class T>
void max_backward(const Problem& problem, const View& dy_view, const View& indices_view,
                  const View& dx_view) {
  const Pixels<const T> dy(dy_view);
  const Pixels<const std::int32_t> indices(indices_view);
  const Pixels<T> dx(dx_view);
  const bool dense =
      dy.channel_stride == 1 && indices.channel_stride == 1 && dx.channel_stride == 1;
  const bool dense_rows = dx.row_stride == problem.width * dx.col_stride;
  with_channel_stride(dense, [&](auto stride_of) {
    const auto dys = stride_of(dy);
    const auto is = stride_of(indices);
    const auto dxs = stride_of(dx);
    const auto pixel_offset = [&](std::int64_t index) {
      if (dense_rows) return index * dx.col_stride;
      return index / problem.width * dx.row_stride + index % problem.width * dx.col_stride;
    };
    for_each_channel_block(problem.images, problem.channels, dx_view.size(2) * dx_view.size(3),
                           [&](std::int64_t image, std::int64_t first, std::int64_t end) {
                             zero(dx, dx_view.shape, image, first, end, dxs);
                             T* to = dx.at(image, 0, 0);
                             for (std::int64_t p = 0; p < problem.out_height; ++p) {
                               for (std::int64_t q = 0; q < problem.out_width; ++q) {
                                 const T* from = dy.at(image, p, q);
                                 const std::int32_t* index = indices.at(image, p, q);
                                 for (std::int64_t c = first; c < end; ++c) {
                                   to[pixel_offset(index[c * is]) + c * dxs] += from[c * dys];
                                 }
                               }
                             }
                           });
  });
}

template <class T>
void avg_forward(const Problem& problem, const View& x_view, const View& y_view) {
  const Pixels<const T> x(x_view);
  const Pixels<T> y(y_view);
  with_channel_stride(x.channel_stride == 1 && y.channel_stride == 1, [&](auto stride_of) {
    const auto xs = stride_of(x);
    const auto ys = stride_of(y);
    problem.for_each_output([&](std::int64_t image, std::int64_t p, std::int64_t q,
                                const Window& rows, const Window& cols) {
      const std::int64_t channels = problem.channels;
      T* sum = y.at(image, p, q);
      for (std::int64_t c = 0; c < channels; ++c) sum[c * ys] = T{0};
      for (std::int64_t h = rows.begin; h < rows.end; ++h) {
        for (std::int64_t w = cols.begin; w < cols.end; ++w) {
          const T* pixel = x.at(image, h, w);
          for (std::int64_t c = 0; c < channels; ++c) sum[c * ys] += pixel[c * xs];
        }
      }
      const T scale = T{1} / static_cast<T>(rows.divisor * cols.divisor);
      for (std::int64_t c = 0; c < channels; ++c) sum[c * ys] *= scale;
    });
  });
}

template <class T>
void avg_backward(const Problem& problem, const View& dy_view, const View& dx_view) {
  const Pixels<const T> dy(dy_view);
  const Pixels<T> dx(dx_view);
  const auto add_window = [&](const T* from, std::int64_t image, const Window& rows,
                              const Window& cols, std::int64_t first, std::int64_t end, auto dys,
                              auto dxs) {
    const T scale = T{1} / static_cast<T>(rows.divisor * cols.divisor);
    for (std::int64_t h = rows.begin; h < rows.end; ++h) {
      for (std::int64_t w = cols.begin; w < cols.end; ++w) {
        T* to = dx.at(image, h, w);
        for (std::int64_t c = first; c < end; ++c) to[c * dxs] += from[c * dys] * scale;
      }
    }
  };
  with_channel_stride(dy.channel_stride == 1 && dx.channel_stride == 1, [&](auto stride_of) {
    const auto dys = stride_of(dy);
    const auto dxs = stride_of(dx);
    for_each_channel_block(
        problem.images, problem.channels, dx_view.size(2) * dx_view.size(3),
        [&](std::int64_t image, std::int64_t first, std::int64_t end) {
          zero(dx, dx_view.shape, image, first, end, dxs);
          for (std::int64_t p = 0; p < problem.out_height; ++p) {
            for (std::int64_t q = 0; q < problem.out_width; ++q) {
              add_window(dy.at(image, p, q), image, problem.rows[static_cast<std::size_t>(p)],
                         problem.cols[static_cast<std::size_t>(q)], first, end, dys, dxs);
            }
          }
        });
  });
}

}  // namespace

void max_pool2d_forward(ExecContext&, const Pool2dParams& params, const View& x, const View& y,
                        const View& indices) {
  constexpr const char* op = "max_pool2d";
  check_pool_shapes(op, x, y);
  check_pool_indices(op, x, y, indices);
  const Problem problem(op, params, x, y);
  visit_float(op, x.dtype, [&](auto t) { max_forward<decltype(t)>(problem, x, y, indices); });
}

void max_pool2d_backward(ExecContext&, const Pool2dParams& params, const View& dy,
                         const View& indices, const View& dx) {
  constexpr const char* op = "max_pool2d backward";
  check_pool_shapes(op, dx, dy);
  check_pool_indices(op, dx, dy, indices);
  const Problem problem(op, params, dx, dy);
  visit_float(op, dx.dtype, [&](auto t) { max_backward<decltype(t)>(problem, dy, indices, dx); });
}

void avg_pool2d_forward(ExecContext&, const Pool2dParams& params, const View& x, const View& y) {
  constexpr const char* op = "avg_pool2d";
  check_pool_shapes(op, x, y);
  const Problem problem(op, params, x, y);
  visit_float(op, x.dtype, [&](auto t) { avg_forward<decltype(t)>(problem, x, y); });
}

void avg_pool2d_backward(ExecContext&, const Pool2dParams& params, const View& dy, const View& dx) {
  constexpr const char* op = "avg_pool2d backward";
  check_pool_shapes(op, dx, dy);
  const Problem problem(op, params, dx, dy);
  visit_float(op, dx.dtype, [&](auto t) { avg_backward<decltype(t)>(problem, dy, dx); });
}

}  // namespace minidl::kernels::cpu
