// What elementwise operations on two operands compute, for the kernels of every device: a functor
// per operation, and which dtypes it has. Not part of the public interface.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/elementwise.h"

namespace minidl::kernels {

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

struct Div {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return a / b;
  }
};

/// Rounds towards minus infinity. 0 where an integer is divided by 0.
struct FloorDivide {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if (b == -1) return Neg()(a);  // the lowest number's quotient overflows
      const T quotient = a / b;
      return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
    } else {
      if (b == 0) return a / b;
      const T rest = std::fmod(a, b);
      T quotient = (a - rest) / b;
      if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
      if (quotient == 0) return std::copysign(T{0}, a / b);
      const T whole = std::floor(quotient);  // (a - rest) / b was rounded
      return quotient - whole > T{0.5} ? whole + 1 : whole;
    }
  }
};

/// What FloorDivide leaves: 0 or of b's sign. 0 where an integer is divided by 0.
struct Remainder {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    T rest{};
    if constexpr (std::is_integral_v<T>) {
      rest = b == 0 || b == -1 ? 0 : a % b;
    } else {
      rest = std::fmod(a, b);
    }
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
};

/// Whether F divides, which integers do not by 0.
template <class F>
inline constexpr bool kDivides = std::is_same_v<F, FloorDivide> || std::is_same_v<F, Remainder>;

struct Pow {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (b < 0) {
        if (a == -1) return b % 2 == 0 ? 1 : -1;
        return a == 1 ? 1 : 0;
      }
      T result = 1;
      for (; b > 0; b /= 2) {
        if (b % 2 != 0) result = Mul()(result, a);
        a = Mul()(a, a);
      }
      return result;
    } else {
      return std::pow(a, b);
    }
  }
};

struct BitwiseAnd {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};

struct BitwiseOr {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};

struct BitwiseXor {
  template <class T>
  MINIDL_HOST_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
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

}  // namespace arithmetic

/// Calls use(T{}) with the C++ type of `dtype`, if that is an integer or bool; else throws Error.
template <class Use>
void visit_whole(const char* op, DType dtype, const Use& use) {
  switch (dtype) {
    case i8: return use(std::int8_t{});
    case u8: return use(std::uint8_t{});
    case i32: return use(std::int32_t{});
    case i64: return use(std::int64_t{});
    case boolean: return use(bool{});
    default: minidl::detail::unsupported_dtype(op, dtype);
  }
}

/// Calls use(T{}, functor) with the C++ type of `dtype` and what `op` does to it. Throws Error
/// where the operation does not have the dtype.
template <class Use>
void visit_binary(BinaryOp op, DType dtype, const Use& use) {
  const auto any = [&](auto functor) {
    visit_arithmetic(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  const auto floating = [&](auto functor) {
    visit_float(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  const auto whole = [&](auto functor) {
    visit_whole(name(op), dtype, [&](auto zero) { use(zero, functor); });
  };
  switch (op) {
    case BinaryOp::add: return any(arithmetic::Add());
    case BinaryOp::sub: return any(arithmetic::Sub());
    case BinaryOp::mul: return any(arithmetic::Mul());
    case BinaryOp::div: return floating(arithmetic::Div());
    case BinaryOp::floor_divide: return any(arithmetic::FloorDivide());
    case BinaryOp::remainder: return any(arithmetic::Remainder());
    case BinaryOp::pow: return any(arithmetic::Pow());
    case BinaryOp::maximum: return any(arithmetic::Maximum());
    case BinaryOp::minimum: return any(arithmetic::Minimum());
    case BinaryOp::bitwise_and: return whole(arithmetic::BitwiseAnd());
    case BinaryOp::bitwise_or: return whole(arithmetic::BitwiseOr());
    case BinaryOp::bitwise_xor: return whole(arithmetic::BitwiseXor());
    case BinaryOp::select_greater: return floating(arithmetic::SelectGreater());
  }
  fail("binary: unknown operation {}", static_cast<int>(op));
}

/// The Error of an integer divided by 0.
inline std::string explain_zero_divisor(BinaryOp op) {
  return fmt::format(
      "{}: an integer cannot be divided by 0; with .to(f32) the result is an infinity or NaN",
      name(op));
}

}  // namespace minidl::kernels
