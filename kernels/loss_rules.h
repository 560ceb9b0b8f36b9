// What the losses of one element compute, for the kernels of every device: a rule per loss, with
// its value and its slopes by input (x) and target (y). Not part of the public interface.
#pragma once

#include <cmath>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/loss.h"

namespace minidl::kernels {
namespace loss_rules {

template <class T>
MINIDL_HOST_DEVICE T sign(T v) {
  return static_cast<T>((v > T{0}) - (v < T{0}));
}

/// log(1 + v) for v in -1..1, as Kahan computes it: the quotient takes out the rounding of 1 + v.
/// Less work on CPUs than std::log1p.
template <class T>
MINIDL_HOST_DEVICE T log1p(T v) {
  const T sum = T{1} + v;
  return sum == T{1} ? v : std::log(sum) * v / (sum - T{1});
}

/// Losses of the difference alone: what falls on the target is the negative.
template <class T, class Difference>
struct OfDifference {
  Difference rule;

  MINIDL_HOST_DEVICE T value(T x, T y) const { return rule.value(x - y); }
  MINIDL_HOST_DEVICE T input_slope(T x, T y) const { return rule.slope(x - y); }
  MINIDL_HOST_DEVICE T target_slope(T x, T y) const { return -rule.slope(x - y); }
};

template <class T>
struct Square {
  MINIDL_HOST_DEVICE T value(T d) const { return d * d; }
  MINIDL_HOST_DEVICE T slope(T d) const { return T{2} * d; }
};

template <class T>
struct Absolute {
  MINIDL_HOST_DEVICE T value(T d) const { return std::abs(d); }
  MINIDL_HOST_DEVICE T slope(T d) const { return sign(d); }
};

template <class T>
struct SmoothL1 {
  T beta;
  MINIDL_HOST_DEVICE T value(T d) const {
    const T size = std::abs(d);
    return size < beta ? d * d / (T{2} * beta) : size - beta / T{2};
  }
  MINIDL_HOST_DEVICE T slope(T d) const { return std::abs(d) < beta ? d / beta : sign(d); }
};

template <class T>
struct Huber {
  T delta;
  MINIDL_HOST_DEVICE T value(T d) const {
    const T size = std::abs(d);
    return size <= delta ? d * d / T{2} : delta * (size - delta / T{2});
  }
  MINIDL_HOST_DEVICE T slope(T d) const { return std::abs(d) <= delta ? d : delta * sign(d); }
};

template <class T>
struct BinaryCrossEntropy {
  MINIDL_HOST_DEVICE static T limited(T logarithm) {
    return logarithm < T{-100} ? T{-100} : logarithm;  // keeps a NaN
  }
  MINIDL_HOST_DEVICE T value(T x, T y) const {
    return -y * limited(std::log(x)) - (T{1} - y) * limited(log1p(-x));
  }
  MINIDL_HOST_DEVICE T input_slope(T x, T y) const {
    constexpr T kLeast = static_cast<T>(1e-12);
    const T spread = x * (T{1} - x);
    return (x - y) / (spread < kLeast ? kLeast : spread);
  }
  MINIDL_HOST_DEVICE T target_slope(T x, T /*y*/) const {
    return limited(log1p(-x)) - limited(std::log(x));
  }
};

template <class T>
struct BinaryCrossEntropyWithLogits {
  MINIDL_HOST_DEVICE T value(T x, T y) const {
    return (x > T{0} ? x : T{0}) - x * y + log1p(std::exp(-std::abs(x)));
  }
  MINIDL_HOST_DEVICE T input_slope(T x, T y) const { return T{1} / (T{1} + std::exp(-x)) - y; }
  MINIDL_HOST_DEVICE T target_slope(T x, T /*y*/) const { return -x; }
};

template <class T>
struct KlDiv {
  MINIDL_HOST_DEVICE T value(T x, T y) const { return y == T{0} ? T{0} : y * (std::log(y) - x); }
  MINIDL_HOST_DEVICE T input_slope(T /*x*/, T y) const { return -y; }
  MINIDL_HOST_DEVICE T target_slope(T x, T y) const {
    return y == T{0} ? T{0} : std::log(y) + T{1} - x;
  }
};

template <class T>
struct KlDivLogTarget {
  MINIDL_HOST_DEVICE T value(T x, T y) const { return std::exp(y) * (y - x); }
  MINIDL_HOST_DEVICE T input_slope(T /*x*/, T y) const { return -std::exp(y); }
  MINIDL_HOST_DEVICE T target_slope(T x, T y) const { return std::exp(y) * (y - x + T{1}); }
};

/// The functors that kernels run.
template <class Rule>
struct Value {
  Rule rule;
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x, T y) const {
    return rule.value(x, y);
  }
};

template <class Rule, bool kOfTarget>
struct Slope {
  Rule rule;
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T grad, T x, T y) const {
    return grad * (kOfTarget ? rule.target_slope(x, y) : rule.input_slope(x, y));
  }
};

}  // namespace loss_rules

/// Calls use(T{}, rule) with the C++ type of `dtype` and the rule of `op`.
template <class Use>
void visit_loss(LossOp op, double threshold, DType dtype, const Use& use) {
  namespace rules = loss_rules;
  visit_float(name(op), dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto t = static_cast<T>(threshold);
    switch (op) {
      case LossOp::mse: return use(zero, rules::OfDifference<T, rules::Square<T>>{});
      case LossOp::l1: return use(zero, rules::OfDifference<T, rules::Absolute<T>>{});
      case LossOp::smooth_l1: return use(zero, rules::OfDifference<T, rules::SmoothL1<T>>{{t}});
      case LossOp::huber: return use(zero, rules::OfDifference<T, rules::Huber<T>>{{t}});
      case LossOp::binary_cross_entropy: return use(zero, rules::BinaryCrossEntropy<T>{});
      case LossOp::binary_cross_entropy_with_logits:
        return use(zero, rules::BinaryCrossEntropyWithLogits<T>{});
      case LossOp::kl_div: return use(zero, rules::KlDiv<T>{});
      case LossOp::kl_div_log_target: return use(zero, rules::KlDivLogTarget<T>{});
    }
    fail("loss: unknown operation {}", static_cast<int>(op));
  });
}

}  // namespace minidl::kernels
