// 16-bit floating-point storage types. They hold and convert; arithmetic happens in float.
#pragma once

#include <bit>
#include <cstdint>

namespace minidl {

/// bfloat16: the upper half of a float. Rounds to nearest even; NaN stays a (quiet) NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  constexpr BFloat16() = default;
  constexpr explicit BFloat16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<std::uint16_t>((u >> 16) | 0x0040u)
                  : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  constexpr operator float() const {  // NOLINT(google-explicit-constructor): exact
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE 754 binary16. Rounds to nearest even, overflows to infinity, keeps subnormals.
struct Half {
  std::uint16_t bits = 0;

  constexpr Half() = default;
  constexpr explicit Half(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
    const std::uint32_t magnitude = u & 0x7fffffffu;
    bits = static_cast<std::uint16_t>(sign | encode(magnitude));
  }
  constexpr operator float() const {  // NOLINT(google-explicit-constructor): exact
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1fu) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  }

 private:
  static constexpr std::uint32_t encode(std::uint32_t magnitude) {
    if (magnitude > 0x7f800000u) return 0x7e00u | ((magnitude >> 13) & 0x3ffu);  // NaN
    if (magnitude >= 0x477ff000u) return 0x7c00u;  // 65520 and above round to infinity
    if (magnitude < 0x38800000u) {                 // below 2^-14: subnormal
      // Adding 0.5 shifts the mantissa to where the float adder rounds it for us.
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u;
    }
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (rounded >> 13) - (112u << 10);
  }
};

}  // namespace minidl
