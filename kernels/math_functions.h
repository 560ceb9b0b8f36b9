// Mathematical functions of one operand, for the kernels of every device: functors with their
// names, dtypes and derivatives. Not part of the public interface.
#pragma once

#include <numbers>

#include "minidl/kernels/arithmetic.h"

namespace minidl::kernels {

/// The functors. Those that take an `Erf` get the device's own error function.
namespace arithmetic {

enum class Domain { floating, numbers, whole };

/// What most functions are. gradient(g, saved) is g times the derivative, computed from what
/// kDerivative says.
struct Function {
  static constexpr Domain kDomain = Domain::floating;
  static constexpr Derivative kDerivative = Derivative::of_input;
  static constexpr bool kSlow = false;  ///< takes an exp or the like
};
struct SlowFunction : Function {
  static constexpr bool kSlow = true;
};
/// Exact on integers, too.
struct NumberFunction : Function {
  static constexpr Domain kDomain = Domain::numbers;
};
/// Leaves integers alone.
struct Rounding : NumberFunction {
  static constexpr Derivative kDerivative = Derivative::zero;
};

/// The gradient of F, as a functor.
template <class F>
struct Gradient {
  F f;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T saved) const {
    return f.gradient(g, saved);
  }
};

struct Negation : NumberFunction {
  static constexpr const char* kName = "neg";
  static constexpr Derivative kDerivative = Derivative::minus_one;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return Neg()(x);
  }
};

struct Abs : NumberFunction {
  static constexpr const char* kName = "abs";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return x < 0 ? Neg()(x) : x;
    } else {
      return std::abs(x);
    }
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * ((x > T{0} ? T{1} : T{0}) - (x < T{0} ? T{1} : T{0}));
  }
};

struct Sign : NumberFunction {
  static constexpr const char* kName = "sign";
  static constexpr Derivative kDerivative = Derivative::zero;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return static_cast<T>((x > T{0} ? 1 : 0) - (x < T{0} ? 1 : 0));
  }
};

struct Square : NumberFunction {
  static constexpr const char* kName = "square";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return Mul()(x, x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * (T{2} * x);
  }
};

struct Reciprocal : Function {
  static constexpr const char* kName = "reciprocal";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return T{1} / x;
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return -g * y * y;
  }
};

struct Sqrt : Function {
  static constexpr const char* kName = "sqrt";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::sqrt(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g / (T{2} * y);
  }
};

struct Rsqrt : Function {
  static constexpr const char* kName = "rsqrt";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return T{1} / std::sqrt(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return T{-0.5} * g * y * y * y;
  }
};

struct Exp : SlowFunction {
  static constexpr const char* kName = "exp";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::exp(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g * y;
  }
};

struct Exp2 : SlowFunction {
  static constexpr const char* kName = "exp2";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::exp2(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g * y * std::numbers::ln2_v<T>;
  }
};

struct Expm1 : SlowFunction {
  static constexpr const char* kName = "expm1";
  static constexpr Derivative kDerivative = Derivative::of_output;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::expm1(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T y) const {
    return g * (y + T{1});
  }
};

struct Log : SlowFunction {
  static constexpr const char* kName = "log";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::log(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g / x;
  }
};

struct Log2 : SlowFunction {
  static constexpr const char* kName = "log2";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::log2(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g / (x * std::numbers::ln2_v<T>);
  }
};

struct Log10 : SlowFunction {
  static constexpr const char* kName = "log10";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::log10(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g / (x * std::numbers::ln10_v<T>);
  }
};

struct Log1p : SlowFunction {
  static constexpr const char* kName = "log1p";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::log1p(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g / (T{1} + x);
  }
};

struct Sin : SlowFunction {
  static constexpr const char* kName = "sin";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::sin(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return g * std::cos(x);
  }
};

struct Cos : SlowFunction {
  static constexpr const char* kName = "cos";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return std::cos(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    return -g * std::sin(x);
  }
};

struct Floor : Rounding {
  static constexpr const char* kName = "floor";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return x;
    } else {
      return std::floor(x);
    }
  }
};

struct Ceil : Rounding {
  static constexpr const char* kName = "ceil";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return x;
    } else {
      return std::ceil(x);
    }
  }
};

struct Round : Rounding {
  static constexpr const char* kName = "round";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return x;
    } else {
      return std::rint(x);
    }
  }
};

struct Trunc : Rounding {
  static constexpr const char* kName = "trunc";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return x;
    } else {
      return std::trunc(x);
    }
  }
};

struct BitwiseNot : Function {
  static constexpr const char* kName = "bitwise_not";
  static constexpr Domain kDomain = Domain::whole;
  static constexpr Derivative kDerivative = Derivative::zero;

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    if constexpr (std::is_same_v<T, bool>) {
      return !x;
    } else {
      return static_cast<T>(~x);
    }
  }
};

template <class Erf>
struct ErrorFunction : SlowFunction {
  static constexpr const char* kName = "erf";

  template <class T>
  MINIDL_HOST_DEVICE T operator()(T x) const {
    return Erf()(x);
  }
  template <class T>
  MINIDL_HOST_DEVICE T gradient(T g, T x) const {
    constexpr T kPeak = T{2} * std::numbers::inv_sqrtpi_v<T>;
    return g * (kPeak * std::exp(-x * x));
  }
};

/// F with a number on the right.
template <class T, class F>
struct DividedBy : NumberFunction {
  static constexpr Derivative kDerivative = Derivative::zero;  // or one: never asked for
  T divisor;

  explicit DividedBy(const Parameters& p) : divisor(convert<T>(p.first)) {}
  MINIDL_HOST_DEVICE T operator()(T x) const { return F()(x, divisor); }
};
template <class T>
struct FloorDividedBy : DividedBy<T, FloorDivide> {
  static constexpr const char* kName = "floor_divide";
  using DividedBy<T, FloorDivide>::DividedBy;
};
template <class T>
struct RemainderBy : DividedBy<T, Remainder> {
  static constexpr const char* kName = "remainder";
  using DividedBy<T, Remainder>::DividedBy;
};

struct Identity {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v;
  }
};

template <class T>
struct Power {
  T exponent;

  MINIDL_HOST_DEVICE T operator()(T v) const { return std::pow(v, exponent); }
};

}  // namespace arithmetic
}  // namespace minidl::kernels
