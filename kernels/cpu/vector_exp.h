// Exponentials for loops that are to be vectorised: no call, no branch.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace minidl::kernels::cpu {

/// e^x for x <= 0 and a little above, within 2 units in the last place; 0 where that is below the
/// normal numbers. NaN stays NaN. By 2^n e^r with |r| <= ln(2) / 2 and Cephes's polynomial.
inline float exp_below_one(float x) {
  constexpr float kLowest = -87.0f;         // e^x is subnormal from -87.34 on
  constexpr float kToInteger = 12582912.f;  // 1.5 * 2^23: what is added to it loses its fraction
  const float shifted = x * 1.44269504f + kToInteger;
  const float n = shifted - kToInteger;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * r + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * r * r + r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + (127u << 23);
  const float result = sum * std::bit_cast<float>(exponent);
  return x < kLowest ? 0.0f : result;
}
inline double exp_below_one(double x) {
  return std::exp(x);
}

}  // namespace minidl::kernels::cpu
