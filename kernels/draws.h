// How elements get their random numbers, for the kernels of every device.
// Not part of the public interface.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/common/philox.h"

namespace minidl::kernels {

// Element i draws from block i / kPerBlock of four words, as number i % kPerBlock of it.
struct UniformDraw {
  static constexpr std::int64_t kPerBlock = 4;
  MINIDL_HOST_DEVICE static float draw(const std::array<std::uint32_t, 4>& words, std::size_t i) {
    return philox_uniform(words[i]);
  }
};

struct NormalDraw {
  static constexpr std::int64_t kPerBlock = 2;
  static float draw(const std::array<std::uint32_t, 4>& words, std::size_t i) {
    return philox_normal(words[2 * i], words[2 * i + 1]);
  }
};

/// An element of dropout, from the input and a UniformDraw.
template <class T>
struct DropoutRule {
  float
      threshold;  ///< the smallest float not below p: u >= p in floats means the same as in doubles
  T scale;

  explicit DropoutRule(double p)
      : threshold(static_cast<float>(p)), scale(p < 1 ? static_cast<T>(1 / (1 - p)) : T{0}) {
    if (double{threshold} < p) threshold = std::nextafter(threshold, 2.0f);
  }
  MINIDL_HOST_DEVICE T operator()(T value, float u) const {
    const T scaled = value * scale;
    return u >= threshold ? scaled : T{0};
  }
};

}  // namespace minidl::kernels
