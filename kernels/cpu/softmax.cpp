#include "minidl/kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/labels.h"
#include "minidl/kernels/cpu/lines.h"

namespace minidl::kernels::cpu {
namespace {

template <class T>
void softmax_line(const T* x, std::int64_t x_step, T* y, std::int64_t y_step, std::int64_t count) {
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i * x_step]);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = std::exp(x[i * x_step] - largest);
    y[i * y_step] = value;
    sum += value;
  }
  const T scale = static_cast<T>(1 / sum);
  for (std::int64_t i = 0; i < count; ++i) y[i * y_step] *= scale;
}

template <class T>
void log_softmax_line(const T* x, std::int64_t x_step, T* y, std::int64_t y_step,
                      std::int64_t count) {
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i * x_step]);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(x[i * x_step] - largest);
  const T log_sum = static_cast<T>(std::log(sum));
  for (std::int64_t i = 0; i < count; ++i) y[i * y_step] = x[i * x_step] - largest - log_sum;
}

template <class T>
void masked_softmax_line(const T* x, std::int64_t x_step, const bool* mask, std::int64_t mask_step,
                         T* y, std::int64_t y_step, std::int64_t count) {
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    if (mask[i * mask_step]) largest = std::max(largest, x[i * x_step]);
  }
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = mask[i * mask_step] ? std::exp(x[i * x_step] - largest) : T{0};
    y[i * y_step] = value;
    sum += value;
  }
  if (sum == 0) return;  // nothing takes part: the largest would have added 1
  const T scale = static_cast<T>(1 / sum);
  for (std::int64_t i = 0; i < count; ++i) {
    y[i * y_step] = mask[i * mask_step] ? y[i * y_step] * scale : T{0};
  }
}

// The rows of a cross entropy that count. Throws on a label that names no class.
std::int64_t counted_rows(const CrossEntropyParams& params, const View& target,
                          std::int64_t classes) {
  check_label_dtype(target);
  const auto* labels = target.ptr<std::int64_t>();
  std::int64_t counted = 0;
  for (std::int64_t row = 0; row < target.size(0); ++row) {
    const std::int64_t label = labels[row * target.strides[0]];
    if (label == params.ignore_index) continue;
    if (label < 0 || label >= classes) {
      throw Error(explain_label(row, label, classes, params.ignore_index));
    }
    ++counted;
  }
  return counted;
}

template <class T>
double row_loss(const T* log_probs, std::int64_t step, std::int64_t classes, std::int64_t label,
                double smoothing) {
  double loss = -(1 - smoothing) * log_probs[label * step];
  if (smoothing > 0) {  // 0 * -inf would be NaN
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += log_probs[c * step];
    loss -= smoothing / static_cast<double>(classes) * sum;
  }
  return loss;
}

}  // namespace

void softmax_forward(ExecContext&, const View& x, int dim, bool log, const View& y) {
  visit_float(log ? "log_softmax" : "softmax", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto line = log ? log_softmax_line<T> : softmax_line<T>;
    for_each_line<2>(x.shape, dim, {y.strides, x.strides}, [&](const auto& at) {
      line(x.ptr<T>() + at[1], x.strides[dim], y.ptr<T>() + at[0], y.strides[dim], x.shape[dim]);
    });
  });
}

void masked_softmax_forward(ExecContext&, const View& x, const View& mask, int dim, const View& y) {
  visit_float("masked_softmax", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* flags = mask.ptr<bool>();
    for_each_line<3>(x.shape, dim, {y.strides, x.strides, mask.strides}, [&](const auto& at) {
      masked_softmax_line(x.ptr<T>() + at[1], x.strides[dim], flags + at[2], mask.strides[dim],
                          y.ptr<T>() + at[0], y.strides[dim], x.shape[dim]);
    });
  });
}

void softmax_backward(ExecContext&, const View& dy, const View& y, int dim, bool log,
                      const View& dx) {
  visit_float(log ? "log_softmax_backward" : "softmax_backward", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t count = y.shape[dim];
    const std::int64_t dx_step = dx.strides[dim];
    const std::int64_t dy_step = dy.strides[dim];
    const std::int64_t y_step = y.strides[dim];
    for_each_line<3>(y.shape, dim, {dx.strides, dy.strides, y.strides}, [&](const auto& at) {
      T* out = dx.ptr<T>() + at[0];
      const T* g = dy.ptr<T>() + at[1];
      const T* p = y.ptr<T>() + at[2];
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        sum += log ? double{g[i * dy_step]} : double{g[i * dy_step]} * double{p[i * y_step]};
      }
      const T total = static_cast<T>(sum);
      for (std::int64_t i = 0; i < count; ++i) {
        const T grad = g[i * dy_step];
        const T value = p[i * y_step];
        out[i * dx_step] = log ? grad - std::exp(value) * total : value * (grad - total);
      }
    });
  });
}

void cross_entropy_forward(ExecContext& ctx, const CrossEntropyParams& params,
                           const View& log_probs, const View& target, const View& loss) {
  const std::int64_t rows = log_probs.size(0);
  const std::int64_t classes = log_probs.size(1);
  const std::int64_t counted = counted_rows(params, target, classes);
  visit_float("cross_entropy", log_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Buffer buffer = ctx.workspace(static_cast<std::size_t>(rows) * sizeof(double));
    auto* losses = buffer.as<double>();
    const auto* labels = target.ptr<std::int64_t>();
    const std::int64_t cost =
        params.label_smoothing > 0 ? std::max<std::int64_t>(classes, 1) : std::int64_t{1};
    parallel_for(rows, kGrain / cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t label = labels[row * target.strides[0]];
        const T* line = log_probs.ptr<T>() + row * log_probs.strides[0];
        losses[row] = label == params.ignore_index ? 0
                                                   : row_loss(line, log_probs.strides[1], classes,
                                                              label, params.label_smoothing);
      }
    });
    double sum = 0;
    for (std::int64_t row = 0; row < rows; ++row) sum += losses[row];
    *loss.ptr<T>() = counted > 0 ? static_cast<T>(sum / static_cast<double>(counted))
                                 : std::numeric_limits<T>::quiet_NaN();
  });
}

void cross_entropy_backward(ExecContext&, const CrossEntropyParams& params, const View& dloss,
                            const View& log_probs, const View& target, const View& dlogits) {
  const std::int64_t rows = log_probs.size(0);
  const std::int64_t classes = log_probs.size(1);
  const std::int64_t counted = counted_rows(params, target, classes);
  visit_float("cross_entropy_backward", log_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const double scale = counted > 0 ? double{*dloss.ptr<T>()} / static_cast<double>(counted) : 0.0;
    const T row_scale = static_cast<T>(scale);
    const T target_share = static_cast<T>(1 - params.label_smoothing);
    const T even_share = static_cast<T>(params.label_smoothing / static_cast<double>(classes));
    const auto* labels = target.ptr<std::int64_t>();
    const std::int64_t in_step = log_probs.strides[1];
    const std::int64_t out_step = dlogits.strides[1];
    const std::int64_t grain = kGrainExp / std::max<std::int64_t>(classes, 1);
    parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t label = labels[row * target.strides[0]];
        const T* in = log_probs.ptr<T>() + row * log_probs.strides[0];
        T* out = dlogits.ptr<T>() + row * dlogits.strides[0];
        if (label == params.ignore_index) {
          for (std::int64_t c = 0; c < classes; ++c) out[c * out_step] = T{0};
          continue;
        }
        for (std::int64_t c = 0; c < classes; ++c) {
          const T share = c == label ? target_share + even_share : even_share;
          out[c * out_step] = row_scale * (std::exp(in[c * in_step]) - share);
        }
      }
    });
  });
}

}  // namespace minidl::kernels::cpu
