// Conversion between element types, defined for every value.
#pragma once

#include <limits>
#include <type_traits>

#include "minidl/kernels/common/dtype.h"

namespace minidl {

namespace detail {

// Truncates towards zero, saturates, and turns NaN into 0: a plain cast is undefined out of range.
template <class To, class From>
constexpr To truncate(From value) {
  using Limits = std::numeric_limits<To>;
  // 2^digits: unlike max() itself, exact in every floating-point type.
  constexpr To kHalf = Limits::max() / 2 + 1;
  constexpr From kEnd = static_cast<From>(kHalf) * From{2};
  if (value != value) return To{0};
  if (value >= kEnd) return Limits::max();
  if (value <= static_cast<From>(Limits::min())) return Limits::min();
  return static_cast<To>(value);
}

}  // namespace detail

/// `value` as a To, by the rules of `kernels::copy`; the 16-bit types convert through float.
template <class To, class From>
constexpr To convert(From value) {
  constexpr bool kFromShort = std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>;
  constexpr bool kToShort = std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>;
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (kFromShort) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (kToShort) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    return detail::truncate<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace minidl
