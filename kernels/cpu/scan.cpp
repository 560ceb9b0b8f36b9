#include "minidl/kernels/scan.h"

#include <algorithm>
#include <type_traits>

#include "minidl/kernels/cpu/lines.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kTile = 256;  // lines that are scanned side by side

template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;

struct Sum {
  static constexpr int kIdentity = 0;
  template <class A>
  A operator()(A a, A b) const {
    return a + b;
  }
};

struct Product {
  static constexpr int kIdentity = 1;
  template <class A>
  A operator()(A a, A b) const {
    return a * b;
  }
};

template <class T, class Join>
void scan_line(const T* x, std::int64_t x_step, T* out, std::int64_t out_step, std::int64_t length,
               const Join& join) {
  Total<T> total{Join::kIdentity};
  for (std::int64_t i = 0; i < length; ++i) {
    total = join(total, static_cast<Total<T>>(x[i * x_step]));
    out[i * out_step] = static_cast<T>(total);
  }
}

// Lines whose elements lie beside those of their neighbours advance together.
template <class T, class Join>
void scan_columns(const T* x, std::int64_t x_step, std::int64_t x_along, T* out,
                  std::int64_t out_step, std::int64_t out_along, std::int64_t width,
                  std::int64_t length, const Join& join) {
  Total<T> totals[kTile];
  std::fill_n(totals, width, Total<T>{Join::kIdentity});
  for (std::int64_t i = 0; i < length; ++i) {
    const T* from = x + i * x_along;
    T* to = out + i * out_along;
    for (std::int64_t line = 0; line < width; ++line) {
      totals[line] = join(totals[line], static_cast<Total<T>>(from[line * x_step]));
      to[line * out_step] = static_cast<T>(totals[line]);
    }
  }
}

template <class Join>
void scan(const char* op, const View& x, int dim, bool reverse, const View& out, const Join& join) {
  visit_arithmetic(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t length = x.size(dim);
    if (length == 0) return;
    const std::int64_t sign = reverse ? -1 : 1;
    const std::int64_t x_along = sign * x.strides[dim];
    const std::int64_t out_along = sign * out.strides[dim];
    const std::int64_t first = reverse ? length - 1 : 0;
    const LoopNest<2> lines = line_starts<2>(x.shape, dim, {out.strides, x.strides});
    const std::int64_t out_step = lines.inner_stride(0);
    const std::int64_t x_step = lines.inner_stride(1);
    for_each_row(lines, lines_of(kGrain, x.shape, dim), [&](const auto& at, std::int64_t count) {
      T* to = out.ptr<T>() + at[0] + first * out.strides[dim];
      const T* from = x.ptr<T>() + at[1] + first * x.strides[dim];
      if (x.strides[dim] < x_step || count == 1) {
        for (std::int64_t line = 0; line < count; ++line) {
          scan_line(from + line * x_step, x_along, to + line * out_step, out_along, length, join);
        }
        return;
      }
      for (std::int64_t line = 0; line < count; line += kTile) {
        scan_columns(from + line * x_step, x_step, x_along, to + line * out_step, out_step,
                     out_along, std::min(kTile, count - line), length, join);
      }
    });
  });
}

}  // namespace

void cumsum(ExecContext&, const View& x, int dim, bool reverse, const View& out) {
  scan("cumsum", x, dim, reverse, out, Sum());
}

void cumprod(ExecContext&, const View& x, int dim, const View& out) {
  scan("cumprod", x, dim, /*reverse=*/false, out, Product());
}

// dx[i] = before[i] * after[i]: the product of what stands before i, and what comes after it,
// after[i] = dy[i] + x[i + 1] * after[i + 1].
void cumprod_backward(ExecContext&, const View& dy, const View& x, int dim, const View& dx) {
  visit_float("cumprod backward", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t length = x.size(dim);
    const std::int64_t dy_step = dy.strides[dim];
    const std::int64_t x_step = x.strides[dim];
    const std::int64_t dx_step = dx.strides[dim];
    const auto line = [&](const auto& at) {
      T* to = dx.ptr<T>() + at[0];
      const T* grad = dy.ptr<T>() + at[1];
      const T* from = x.ptr<T>() + at[2];
      double before = 1;
      for (std::int64_t i = 0; i < length; ++i) {
        to[i * dx_step] = static_cast<T>(before);
        before *= double{from[i * x_step]};
      }
      double after = 0;
      double next = 0;
      for (std::int64_t i = length - 1; i >= 0; --i) {
        after = double{grad[i * dy_step]} + next * after;
        next = double{from[i * x_step]};
        to[i * dx_step] = static_cast<T>(double{to[i * dx_step]} * after);
      }
    };
    for_each_line<3>(x.shape, dim, {dx.strides, dy.strides, x.strides}, line, kGrain);
  });
}

}  // namespace minidl::kernels::cpu
