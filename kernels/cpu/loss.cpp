#include "minidl/kernels/loss.h"

#include <algorithm>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/labels.h"
#include "minidl/kernels/cpu/rows.h"
#include "minidl/kernels/loss_rules.h"

namespace minidl::kernels {

const char* name(LossOp op) {
  switch (op) {
    case LossOp::mse: return "mse_loss";
    case LossOp::l1: return "l1_loss";
    case LossOp::smooth_l1: return "smooth_l1_loss";
    case LossOp::huber: return "huber_loss";
    case LossOp::binary_cross_entropy: return "binary_cross_entropy";
    case LossOp::binary_cross_entropy_with_logits: return "binary_cross_entropy_with_logits";
    case LossOp::kl_div:
    case LossOp::kl_div_log_target: return "kl_div";
  }
  return "loss";
}

namespace cpu {
namespace {

std::int64_t grain_of(LossOp op) {
  switch (op) {
    case LossOp::mse:
    case LossOp::l1:
    case LossOp::smooth_l1:
    case LossOp::huber: return kGrain;
    default: return kGrainExp;
  }
}

/// Operands: losses and shares, or what else is kept for each target; then the target, and the
/// first class of its log-probabilities.
template <int N>
LoopNest<N> targets_of(const std::array<const View*, N - 1>& operands, const View& log_probs) {
  std::array<Strides, N> strides;
  for (std::size_t i = 0; i + 1 < N; ++i) strides[i] = operands[i]->strides;
  strides[N - 1] = log_probs.strides;
  strides[N - 1].erase(1);
  return {operands[0]->shape, strides};
}

void check_labels(const char* op, const CrossEntropyParams& params, const View& target,
                  std::int64_t classes) {
  check_label_dtype(target, op);
  const LoopNest<2> walk(target.shape, {contiguous_strides(target.shape), target.strides});
  walk_rows(walk, 0, target.numel(), [&](const auto& at, std::int64_t count) {
    const auto* labels = target.ptr<std::int64_t>() + at[1];
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t label = labels[i * walk.inner_stride(1)];
      if (label == params.ignore_index || (label >= 0 && label < classes)) continue;
      const std::int64_t position = at[0] + i * walk.inner_stride(0);
      fail("{}", explain_label(position, label, classes, params.ignore_index, op));
    }
  });
}

/// The classes' weights: ones where there are none.
template <class T>
struct Weights {
  const T* data;
  std::int64_t step;

  explicit Weights(const View& weight)
      : data(weight.defined ? weight.ptr<T>() : nullptr),
        step(weight.defined ? weight.strides[0] : 0) {}
  T operator[](std::int64_t c) const { return data == nullptr ? T{1} : data[c * step]; }
};

}  // namespace

void pointwise_loss(ExecContext&, LossOp op, double threshold, const View& input,
                    const View& target, const View& out) {
  const LoopNest<3> nest(out.shape, {out.strides, input.strides, target.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t x_step = nest.inner_stride(1);
  const std::int64_t y_step = nest.inner_stride(2);
  visit_loss(op, threshold, out.dtype, [&](auto zero, const auto& rule) {
    using T = decltype(zero);
    for_each_row(nest, grain_of(op), [&](const auto& at, std::int64_t count) {
      T* o = out.ptr<T>() + at[0];
      const T* x = input.ptr<T>() + at[1];
      const T* y = target.ptr<T>() + at[2];
      if (out_step == 1 && x_step == 1 && y_step == 1) {
        for (std::int64_t i = 0; i < count; ++i) o[i] = rule.value(x[i], y[i]);
      } else {
        for (std::int64_t i = 0; i < count; ++i) {
          o[i * out_step] = rule.value(x[i * x_step], y[i * y_step]);
        }
      }
    });
  });
}

void pointwise_loss_backward(ExecContext&, LossOp op, double threshold, LossOperand operand,
                             const View& grad, const View& input, const View& target,
                             const View& out) {
  const LoopNest<4> nest(out.shape, {out.strides, grad.strides, input.strides, target.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t g_step = nest.inner_stride(1);
  const std::int64_t x_step = nest.inner_stride(2);
  const std::int64_t y_step = nest.inner_stride(3);
  const bool dense = out_step == 1 && x_step == 1 && y_step == 1;
  const auto differentiate = [&](auto zero, const auto& slope) {
    using T = decltype(zero);
    for_each_row(nest, grain_of(op), [&](const auto& at, std::int64_t count) {
      T* o = out.ptr<T>() + at[0];
      const T* g = grad.ptr<T>() + at[1];
      const T* x = input.ptr<T>() + at[2];
      const T* y = target.ptr<T>() + at[3];
      if (dense && g_step == 0) {  // the gradient of a mean or a sum
        const T same = *g;
        for (std::int64_t i = 0; i < count; ++i) o[i] = slope(same, x[i], y[i]);
      } else if (dense && g_step == 1) {
        for (std::int64_t i = 0; i < count; ++i) o[i] = slope(g[i], x[i], y[i]);
      } else {
        for (std::int64_t i = 0; i < count; ++i) {
          o[i * out_step] = slope(g[i * g_step], x[i * x_step], y[i * y_step]);
        }
      }
    });
  };
  visit_loss(op, threshold, out.dtype, [&](auto zero, const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    if (operand == LossOperand::input) {
      differentiate(zero, loss_rules::Slope<Rule, false>{rule});
    } else {
      differentiate(zero, loss_rules::Slope<Rule, true>{rule});
    }
  });
}

void nll_loss_forward(ExecContext&, const char* op, const CrossEntropyParams& params,
                      const View& log_probs, const View& target, const View& weight,
                      const View& losses, const View& shares) {
  const std::int64_t classes = log_probs.size(1);
  const std::int64_t class_step = log_probs.strides[1];
  check_labels(op, params, target, classes);
  const LoopNest<4> nest = targets_of<4>({&losses, &shares, &target}, log_probs);
  const bool smooth = params.label_smoothing > 0;
  const std::int64_t cost = smooth ? std::max<std::int64_t>(classes, 1) : std::int64_t{1};
  visit_float(op, log_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Weights<T> weights(weight);
    const auto loss_of = [&](const T* line, std::int64_t label) {
      double loss = -(1 - params.label_smoothing) * weights[label] * line[label * class_step];
      if (smooth) {  // 0 * -inf would be NaN
        double sum = 0;
        for (std::int64_t c = 0; c < classes; ++c) sum += double{weights[c] * line[c * class_step]};
        loss -= params.label_smoothing / static_cast<double>(classes) * sum;
      }
      return static_cast<T>(loss);
    };
    for_each_row(nest, kGrain / cost, [&](const auto& at, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t label = target.ptr<std::int64_t>()[at[2] + i * nest.inner_stride(2)];
        const bool counts = label != params.ignore_index;
        const T* line = log_probs.ptr<T>() + at[3] + i * nest.inner_stride(3);
        losses.ptr<T>()[at[0] + i * nest.inner_stride(0)] = counts ? loss_of(line, label) : T{0};
        shares.ptr<T>()[at[1] + i * nest.inner_stride(1)] = counts ? weights[label] : T{0};
      }
    });
  });
}

void nll_loss_backward(ExecContext&, const CrossEntropyParams& params, const View& dlosses,
                       const View& target, const View& weight, const View& dlog_probs) {
  const std::int64_t classes = dlog_probs.size(1);
  const std::int64_t class_step = dlog_probs.strides[1];
  const LoopNest<3> nest = targets_of<3>({&dlosses, &target}, dlog_probs);
  visit_float("nll_loss backward", dlog_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Weights<T> weights(weight);
    const T target_share = static_cast<T>(1 - params.label_smoothing);
    const T even_share = static_cast<T>(params.label_smoothing / static_cast<double>(classes));
    for_each_row(
        nest, kGrain / std::max<std::int64_t>(classes, 1), [&](const auto& at, std::int64_t count) {
          for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t label = target.ptr<std::int64_t>()[at[1] + i * nest.inner_stride(1)];
            const bool counts = label != params.ignore_index;
            const T grad = dlosses.ptr<T>()[at[0] + i * nest.inner_stride(0)];
            T* line = dlog_probs.ptr<T>() + at[2] + i * nest.inner_stride(2);
            for (std::int64_t c = 0; c < classes; ++c) {
              line[c * class_step] = counts ? -grad * even_share * weights[c] : T{0};
            }
            if (counts) line[label * class_step] -= grad * target_share * weights[label];
          }
        });
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
