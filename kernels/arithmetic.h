// What elementwise operations compute, for the kernels of every device: a functor per operation,
// and which dtypes it has. Not part of the public interface.
#pragma once

#include <cmath>
#include <numbers>
#include <type_traits>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/elementwise.h"

namespace minidl::kernels {

/// The functors. Those that take an `Erf` get the device's own error function.
namespace arithmetic {

/// Integers take a detour through their unsigned twins, where overflow is defined.
template <class T>
using Wrapping = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                             std::type_identity<T>>::type;

/// The result of a comparison that prefers its right side where the left one is NaN.
template <class T>
MINIDL_HOST_DEVICE T keep_nan(T left, T chosen) {
  return left != left ? left : chosen;
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

  MINIDL_HOST_DEVICE static T cdf(T x) {
    return T{1} / (T{1} + std::exp(-kSlope * x * (T{1} + kCubic * x * x)));
  }
  MINIDL_HOST_DEVICE static T slope(T x) {
    const T c = cdf(x);
    return c + x * c * (T{1} - c) * kSlope * (T{1} + T{3} * kCubic * x * x);
  }
};

struct Add {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    using W = Wrapping<T>;
    return static_cast<T>(static_cast<W>(a) + static_cast<W>(b));
  }
};

struct Sub {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    using W = Wrapping<T>;
    return static_cast<T>(static_cast<W>(a) - static_cast<W>(b));
  }
};

struct Mul {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    using W = Wrapping<T>;
    return static_cast<T>(static_cast<W>(a) * static_cast<W>(b));
  }
};

struct Neg {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    if constexpr (std::is_integral_v<T>) {
      return Sub()(T{0}, v);
    } else {
      return -v;
    }
  }
};

struct Abs {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    if constexpr (std::is_integral_v<T>) {
      return v < 0 ? Neg()(v) : v;
    } else {
      return std::abs(v);
    }
  }
};

struct Relu {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v <= T{0} ? T{0} : v;
  }
};

struct Exp {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return std::exp(v);
  }
};

struct Log {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return std::log(v);
  }
};

struct Sqrt {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return std::sqrt(v);
  }
};

struct Sigmoid {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return T{1} / (T{1} + std::exp(-v));
  }
};

struct Tanh {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return std::tanh(v);
  }
};

template <class Erf>
struct Gelu {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v * normal_cdf<Erf>(v);
  }
};

struct GeluTanh {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v * TanhGelu<T>::cdf(v);
  }
};

struct Div {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return a / b;
  }
};

struct Maximum {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return keep_nan(a, a > b ? a : b);
  }
};

struct Minimum {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return keep_nan(a, a < b ? a : b);
  }
};

struct Equal {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return a == b ? T{1} : T{0};
  }
};

struct ReluBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T y) const {
    return y > T{0} ? g : T{0};
  }
};

struct SigmoidBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T y) const {
    return g * y * (T{1} - y);
  }
};

struct TanhBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T y) const {
    return g * (T{1} - y * y);
  }
};

struct AbsBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T x) const {
    return g * ((x > T{0} ? T{1} : T{0}) - (x < T{0} ? T{1} : T{0}));
  }
};

template <class Erf>
struct GeluBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T x) const {
    return g * (normal_cdf<Erf>(x) + x * normal_density(x));
  }
};

struct GeluTanhBackward {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T x) const {
    return g * TanhGelu<T>::slope(x);
  }
};

struct SelectGreater {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T g, T difference) const {
    const T rest = difference == T{0} ? g / T{2} : T{0};
    return difference > T{0} ? g : rest;
  }
};

template <class T>
struct Affine {
  T scale, shift;

  Affine(double alpha, double beta) : scale(convert<T>(alpha)), shift(convert<T>(beta)) {}
  MINIDL_HOST_DEVICE T operator()(T v) const { return Add()(Mul()(scale, v), shift); }
};

template <class T>
struct Axpy {
  T scale;

  explicit Axpy(double alpha) : scale(convert<T>(alpha)) {}
  MINIDL_HOST_DEVICE T operator()(T sum, T v) const { return Add()(sum, Mul()(scale, v)); }
};

struct Identity {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v;
  }
};

struct Square {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T v) const {
    return v * v;
  }
};

template <class T>
struct Power {
  T exponent;

  MINIDL_HOST_DEVICE T operator()(T v) const { return std::pow(v, exponent); }
};

}  // namespace arithmetic

/// Calls use(T{}, functor) with the C++ type of `dtype` and what `op` does to it. Throws Error
/// where the operation does not have the dtype.
template <class Erf, class Use>
void visit_unary(UnaryOp op, DType dtype, const Use& use) {
  const auto any = [&](auto functor) {
    visit_arithmetic(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  const auto floating = [&](auto functor) {
    visit_float(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  switch (op) {
    case UnaryOp::neg: return any(arithmetic::Neg());
    case UnaryOp::abs: return any(arithmetic::Abs());
    case UnaryOp::relu: return any(arithmetic::Relu());
    case UnaryOp::exp: return floating(arithmetic::Exp());
    case UnaryOp::log: return floating(arithmetic::Log());
    case UnaryOp::sqrt: return floating(arithmetic::Sqrt());
    case UnaryOp::sigmoid: return floating(arithmetic::Sigmoid());
    case UnaryOp::tanh: return floating(arithmetic::Tanh());
    case UnaryOp::erf: return floating(Erf());
    case UnaryOp::gelu: return floating(arithmetic::Gelu<Erf>());
    case UnaryOp::gelu_tanh: return floating(arithmetic::GeluTanh());
  }
  fail("unary: unknown operation {}", static_cast<int>(op));
}

template <class Erf, class Use>
void visit_binary(BinaryOp op, DType dtype, const Use& use) {
  const auto any = [&](auto functor) {
    visit_arithmetic(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  const auto floating = [&](auto functor) {
    visit_float(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  switch (op) {
    case BinaryOp::add: return any(arithmetic::Add());
    case BinaryOp::sub: return any(arithmetic::Sub());
    case BinaryOp::mul: return any(arithmetic::Mul());
    case BinaryOp::maximum: return any(arithmetic::Maximum());
    case BinaryOp::minimum: return any(arithmetic::Minimum());
    case BinaryOp::equal: return any(arithmetic::Equal());
    case BinaryOp::div: return floating(arithmetic::Div());
    case BinaryOp::relu_backward: return floating(arithmetic::ReluBackward());
    case BinaryOp::sigmoid_backward: return floating(arithmetic::SigmoidBackward());
    case BinaryOp::tanh_backward: return floating(arithmetic::TanhBackward());
    case BinaryOp::abs_backward: return floating(arithmetic::AbsBackward());
    case BinaryOp::gelu_backward: return floating(arithmetic::GeluBackward<Erf>());
    case BinaryOp::gelu_tanh_backward: return floating(arithmetic::GeluTanhBackward());
    case BinaryOp::select_greater: return floating(arithmetic::SelectGreater());
  }
  fail("binary: unknown operation {}", static_cast<int>(op));
}

/// The same for x ^ exponent.
template <class Use>
void visit_power(double exponent, DType dtype, const Use& use) {
  visit_float("pow", dtype, [&](auto zero) {
    using T = decltype(zero);
    if (exponent == 1) return use(zero, arithmetic::Identity());
    if (exponent == 2) return use(zero, arithmetic::Square());
    use(zero, arithmetic::Power<T>{static_cast<T>(exponent)});
  });
}

}  // namespace minidl::kernels
