// Element types: the run-time tag, the C++ types behind it, and the visit that joins the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "minidl/kernels/common/half.h"

namespace minidl {

enum class DType : std::uint8_t { f32, f16, bf16, f64, i8, u8, i32, i64, boolean };

inline constexpr DType f32 = DType::f32;
inline constexpr DType f16 = DType::f16;
inline constexpr DType bf16 = DType::bf16;
inline constexpr DType f64 = DType::f64;
inline constexpr DType i8 = DType::i8;
inline constexpr DType u8 = DType::u8;
inline constexpr DType i32 = DType::i32;
inline constexpr DType i64 = DType::i64;
inline constexpr DType boolean = DType::boolean;

/// Bytes of one element.
std::size_t size_of(DType dtype);

/// "f32", "bf16", "bool", …
const char* name(DType dtype);

constexpr bool is_floating_point(DType dtype) {
  return dtype == f32 || dtype == f16 || dtype == bf16 || dtype == f64;
}

constexpr bool is_16_bit(DType dtype) {
  return dtype == f16 || dtype == bf16;
}

/// What sums and statistics of such elements are kept in: f32 for f16 and bf16, else the same.
constexpr DType accumulation_dtype(DType dtype) {
  return is_16_bit(dtype) ? f32 : dtype;
}

/// The dtype that an operation on `a` and `b` computes in. Floating point beats integers, bool
/// yields to everything, the wider of two of a kind wins; f16 with bf16 gives f32, u8 with i8 gives
/// i32 (neither holds the other). PyTorch's table.
DType promote(DType a, DType b);

template <class T>
struct dtype_of;
// clang-format off
template <> struct dtype_of<float> : std::integral_constant<DType, f32> {};
template <> struct dtype_of<Half> : std::integral_constant<DType, f16> {};
template <> struct dtype_of<BFloat16> : std::integral_constant<DType, bf16> {};
template <> struct dtype_of<double> : std::integral_constant<DType, f64> {};
template <> struct dtype_of<std::int8_t> : std::integral_constant<DType, i8> {};
template <> struct dtype_of<std::uint8_t> : std::integral_constant<DType, u8> {};
template <> struct dtype_of<std::int32_t> : std::integral_constant<DType, i32> {};
template <> struct dtype_of<std::int64_t> : std::integral_constant<DType, i64> {};
template <> struct dtype_of<bool> : std::integral_constant<DType, boolean> {};
// clang-format on
template <class T>
inline constexpr DType dtype_of_v = dtype_of<std::remove_cv_t<T>>::value;

namespace detail {
[[noreturn]] void unsupported_dtype(const char* op, DType dtype);
[[noreturn]] void wrong_dtype(DType asked, DType actual);
}  // namespace detail

/// Calls `f(T{})` with the C++ type of `dtype`, any of the nine.
template <class F>
decltype(auto) visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case f32: return f(float{});
    case f16: return f(Half{});
    case bf16: return f(BFloat16{});
    case f64: return f(double{});
    case i8: return f(std::int8_t{});
    case u8: return f(std::uint8_t{});
    case i32: return f(std::int32_t{});
    case i64: return f(std::int64_t{});
    case boolean: return f(bool{});
  }
  detail::unsupported_dtype("visit_dtype", dtype);
}

/// Calls `f(T{})` for f32 and f64; an Error that names `op` for any other dtype.
template <class F>
decltype(auto) visit_float(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case f32: return f(float{});
    case f64: return f(double{});
    default: detail::unsupported_dtype(op, dtype);
  }
}

/// Calls `f(T{})` for f32, f64, i32 and i64; an Error that names `op` for any other dtype.
template <class F>
decltype(auto) visit_arithmetic(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case f32: return f(float{});
    case f64: return f(double{});
    case i32: return f(std::int32_t{});
    case i64: return f(std::int64_t{});
    default: detail::unsupported_dtype(op, dtype);
  }
}

}  // namespace minidl
