// Softmax along lines of any stride.
//
// A line belongs to a block, a warp or a thread (choose_threads). Its threads keep the first
// kKept * threads of its elements in registers (lines of up to 256 elements in a warp, 2048 in a
// block) and read the others again in each pass: find the maximum, add up the exponentials, write.
// Sums are f64, in an order that shape and strides decide.
//
// Bytes of memory per f32 element: forward 4 read, 4 written (masked: 5 read); backward 8 read, 4
// written. Beyond 2048 elements the two passes more read what the L2 cache should still hold: the
// lines under way take 132 * 8 * 4 * length bytes. The limit is memory as long as an element takes
// under ~30 instructions: an exp (~10), a conversion to f64 and an f64 addition.
//
// Versions
//   1: one element per access, not measured yet
#include <cmath>
#include <limits>

#include "minidl/kernels/cuda/lines.cuh"
#include "minidl/kernels/softmax.h"

namespace minidl::kernels::cuda {
namespace {

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

enum class Kind { softmax, log_softmax, masked };

/// Operands: y, x and the mask, if there is one.
template <class T, Kind kKind>
struct Forward {
  static constexpr bool kMasked = kKind == Kind::masked;
  static constexpr int kOperands = kMasked ? 3 : 2;

  Line<T> y;
  Line<const T> x;
  Line<const bool> mask;
  std::int64_t count;

  template <class Team>
  __device__ void operator()(Team, const std::int64_t (&at)[kOperands]) const {
    const Line<T> to = y.at(at[0]);
    const Line<const T> from = x.at(at[1]);
    const Line<const bool> flags = mask.at(kMasked ? at[kOperands - 1] : 0);
    T kept[Team::kKept]{};
    unsigned taken = 0;  // bit k: the mask lets kept[k] take part
    const auto takes_part = [&](std::int64_t i, int k) {
      if (!kMasked) return true;
      return k < 0 ? flags[i] : (taken >> k & 1) != 0;
    };

    T largest = -std::numeric_limits<T>::infinity();
    Team::walk(count, [&](std::int64_t i, int k) {
      if (kMasked && !flags[i]) return;
      const T value = from[i];
      if (k >= 0) {
        kept[k] = value;
        taken |= 1U << k;
      }
      largest = Larger{}(largest, value);
    });
    largest = Team::fold(largest, Larger{});

    double sum = 0;
    Team::walk(count, [&](std::int64_t i, int k) {
      if (!takes_part(i, k)) return;
      const T value = (k < 0 ? from[i] : kept[k]) - largest;
      const T power = std::exp(value);
      if (k >= 0) kept[k] = kKind == Kind::log_softmax ? value : power;
      sum += power;
    });
    sum = Team::fold(sum, Plus{});

    const T last = static_cast<T>(kKind == Kind::log_softmax ? std::log(sum) : 1 / sum);
    Team::walk(count, [&](std::int64_t i, int k) {
      if (!takes_part(i, k)) {
        to[i] = T{0};
      } else if (kKind == Kind::log_softmax) {
        to[i] = (k < 0 ? from[i] - largest : kept[k]) - last;
      } else {
        to[i] = (k < 0 ? std::exp(from[i] - largest) : kept[k]) * last;
      }
    });
  }
};

/// Operands: dx, dy, y.
template <class T, bool kLog>
struct Backward {
  Line<T> dx;
  Line<const T> dy, y;
  std::int64_t count;

  template <class Team>
  __device__ void operator()(Team, const std::int64_t (&at)[3]) const {
    const Line<T> to = dx.at(at[0]);
    const Line<const T> grads = dy.at(at[1]);
    const Line<const T> values = y.at(at[2]);
    T kept_grad[Team::kKept]{};
    T kept_value[Team::kKept]{};

    double sum = 0;
    Team::walk(count, [&](std::int64_t i, int k) {
      const T grad = grads[i];
      const T value = values[i];
      if (k >= 0) {
        kept_grad[k] = grad;
        kept_value[k] = value;
      }
      sum += kLog ? double{grad} : double{grad} * double{value};
    });
    const T total = static_cast<T>(Team::fold(sum, Plus{}));

    Team::walk(count, [&](std::int64_t i, int k) {
      const T grad = k < 0 ? grads[i] : kept_grad[k];
      const T value = k < 0 ? values[i] : kept_value[k];
      to[i] = kLog ? grad - std::exp(value) * total : value * (grad - total);
    });
  }
};

}  // namespace

void softmax_forward(ExecContext& ctx, const View& x, int dim, bool log, const View& y) {
  const char* op = log ? "log_softmax" : "softmax";
  visit_float(op, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto run = [&](auto forward) {
      run_lines<2>(ctx, op, x.shape, dim, {y.strides, x.strides}, forward);
    };
    const Line<T> to = line_of<T>(y, dim);
    const Line<const T> from = line_of<const T>(x, dim);
    if (log) {
      run(Forward<T, Kind::log_softmax>{to, from, {}, x.shape[dim]});
    } else {
      run(Forward<T, Kind::softmax>{to, from, {}, x.shape[dim]});
    }
  });
}

void masked_softmax_forward(ExecContext& ctx, const View& x, const View& mask, int dim,
                            const View& y) {
  visit_float("masked_softmax", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    run_lines<3>(ctx, "masked_softmax", x.shape, dim, {y.strides, x.strides, mask.strides},
                 Forward<T, Kind::masked>{line_of<T>(y, dim), line_of<const T>(x, dim),
                                          line_of<const bool>(mask, dim), x.shape[dim]});
  });
}

void softmax_backward(ExecContext& ctx, const View& dy, const View& y, int dim, bool log,
                      const View& dx) {
  const char* op = log ? "log_softmax_backward" : "softmax_backward";
  visit_float(op, y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto run = [&](auto backward) {
      run_lines<3>(ctx, op, y.shape, dim, {dx.strides, dy.strides, y.strides}, backward);
    };
    const Line<T> to = line_of<T>(dx, dim);
    const Line<const T> grads = line_of<const T>(dy, dim);
    const Line<const T> values = line_of<const T>(y, dim);
    if (log) {
      run(Backward<T, true>{to, grads, values, y.shape[dim]});
    } else {
      run(Backward<T, false>{to, grads, values, y.shape[dim]});
    }
  });
}

}  // namespace minidl::kernels::cuda
