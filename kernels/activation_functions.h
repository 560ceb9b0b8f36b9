// Activations and other functions of one operand that have kinks, as functors for the kernels of
// every device. Not part of the public interface.
#pragma once

#include <limits>

#include "minidl/kernels/math_functions.h"

namespace minidl::kernels::arithmetic {

template <class T>
MINIDL_HOST_DEVICE T logistic(T x) {
  return T{1} / (T{1} + std::exp(-x));
}

/// log(1 + exp(x)) without overflow.
template <class T>
MINIDL_HOST_DEVICE T log_one_plus_exp(T x) {
  return (x > T{0} ? x : T{0}) + std::log1p(std::exp(-std::abs(x)));
}

/// The standard normal distribution and its density.
template <class Erf, class T>
MINIDL_HOST_DEVICE T normal_cdf(T x) {
  constexpr T kInverseSqrt2 = std::numbers::sqrt2_v<T> / T{2};
  return T{0.5} * (T{1} + Erf()(x * kInverseSqrt2));
}
template <class T>
MINIDL_HOST_DEVICE T normal_density(T x) {
  constexpr T kPeak = std::numbers::inv_sqrtpi_v<T> * std::numbers::sqrt2_v<T> / T{2};
  return kPeak * std::exp(T{-0.5} * x * x);
}

/// gelu_tanh stands in c(x) = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) for the distribution.
template <class T>
struct TanhGelu {
  static constexpr T kSlope = T{2} * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
  static constexpr T kCubic = static_cast<T>(0.044715);

  MINIDL_HOST_DEVICE static T cdf(T x) { return logistic(kSlope * x * (T{1} + kCubic * x * x)); }
  MINIDL_HOST_DEVICE static T slope(T x) {
    const T c = cdf(x);
    return c + x * c * (T{1} - c) * kSlope * (T{1} + T{3} * kCubic * x * x);
  }
};

struct Relu : NumberFunction {
  static constexpr const char* kName = "relu";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x <= T{0} ? T{0} : x;
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return y > T{0} ? g : T{0};
  }
};

struct Sigmoid : SlowFunction {
  static constexpr const char* kName = "sigmoid";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return logistic(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g * y * (T{1} - y);
  }
};

struct LogSigmoid : SlowFunction {
  static constexpr const char* kName = "logsigmoid";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return -log_one_plus_exp(-x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * logistic(-x);
  }
};

struct Tanh : SlowFunction {
  static constexpr const char* kName = "tanh";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::tanh(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g * (T{1} - y * y);
  }
};

template <class Erf>
struct Gelu : SlowFunction {
  static constexpr const char* kName = "gelu";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * normal_cdf<Erf>(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * (normal_cdf<Erf>(x) + x * normal_density(x));
  }
};

struct GeluTanh : SlowFunction {
  static constexpr const char* kName = "gelu_tanh";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * TanhGelu<T>::cdf(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * TanhGelu<T>::slope(x);
  }
};

struct Silu : SlowFunction {
  static constexpr const char* kName = "silu";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * logistic(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    const T s = logistic(x);
    return g * (s + x * s * (T{1} - s));
  }
};

struct Mish : SlowFunction {
  static constexpr const char* kName = "mish";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * std::tanh(log_one_plus_exp(x));
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    const T t = std::tanh(log_one_plus_exp(x));
    return g * (t + x * (T{1} - t * t) * logistic(x));
  }
};

struct HardSigmoid : Function {
  static constexpr const char* kName = "hardsigmoid";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    const T line = x / T{6} + T{0.5};
    const T lower = line < T{0} ? T{0} : line;
    return lower > T{1} ? T{1} : lower;
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return x > T{-3} && x < T{3} ? g / T{6} : T{0};
  }
};

struct HardSwish : Function {
  static constexpr const char* kName = "hardswish";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * HardSigmoid()(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    const T rise = x < T{3} ? g * (x / T{3} + T{0.5}) : g;
    return x <= T{-3} ? T{0} : rise;
  }
};

template <class T>
struct Clamp : NumberFunction {
  static constexpr const char* kName = "clamp";
  T low, high;

  explicit Clamp(const Parameters& p) : low(convert<T>(p.first)), high(convert<T>(p.second)) {}
  MINIDL_HOST_DEVICE T operator()(T x) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
  /// 0 at the limits; one that was left out is infinite, and no limit there.
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    return (x > low || low == -kInfinity) && (x < high || high == kInfinity) ? g : T{0};
  }
};

template <class T>
struct HardTanh : Function {
  static constexpr const char* kName = "hardtanh";
  Clamp<T> clamp;

  explicit HardTanh(const Parameters& p) : clamp(p) {}
  MINIDL_HOST_DEVICE T operator()(T x) const { return clamp(x); }
  MINIDL_HOST_DEVICE T gradient(T g, T x) const { return clamp.gradient(g, x); }
};

template <class T>
struct LeakyRelu : Function {
  static constexpr const char* kName = "leaky_relu";
  T slope;

  explicit LeakyRelu(const Parameters& p) : slope(convert<T>(p.first)) {}
  MINIDL_HOST_DEVICE T operator()(T x) const { return bend(x, x); }
  MINIDL_HOST_DEVICE T gradient(T g, T x) const { return bend(g, x); }

 private:
  // x > 0 ? v : slope * v, as a sum: a product that not every element needs becomes a branch.
  MINIDL_HOST_DEVICE T bend(T v, T x) const {
    return (x > T{0} ? v : T{0}) + slope * (x > T{0} ? T{0} : v);
  }
};

template <class T>
struct Elu : SlowFunction {
  static constexpr const char* kName = "elu";
  T alpha;

  explicit Elu(const Parameters& p) : alpha(convert<T>(p.first)) {}
  MINIDL_HOST_DEVICE T operator()(T x) const { return x > T{0} ? x : alpha * std::expm1(x); }
  MINIDL_HOST_DEVICE T gradient(T g, T x) const { return x > T{0} ? g : g * alpha * std::exp(x); }
};

template <class T>
struct Softplus : SlowFunction {
  static constexpr const char* kName = "softplus";
  T beta, threshold;

  explicit Softplus(const Parameters& p)
      : beta(convert<T>(p.first)), threshold(convert<T>(p.second)) {}
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return x * beta > threshold ? x : log_one_plus_exp(x * beta) / beta;
  }
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return x * beta > threshold ? g : g * logistic(x * beta);
  }
};

}  // namespace minidl::kernels::arithmetic
