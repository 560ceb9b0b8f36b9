// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC 2011). One block of four words for each (seed, stream, index): any element's numbers
// can be drawn by any thread of any device, in any order, with the same result.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "minidl/kernels/common/host_device.h"

namespace minidl {

// The constants of the cipher: multipliers, Weyl increments of the key, rounds.
inline constexpr std::uint64_t kPhiloxM0 = 0xD2511F53u;
inline constexpr std::uint64_t kPhiloxM1 = 0xCD9E8D57u;
inline constexpr std::uint32_t kPhiloxW0 = 0x9E3779B9u;
inline constexpr std::uint32_t kPhiloxW1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;

/// The four words of block `index` of `stream` under `seed`.
MINIDL_HOST_DEVICE constexpr std::array<std::uint32_t, 4> philox4x32(std::uint64_t seed,
                                                                     std::uint64_t stream,
                                                                     std::uint64_t index) {
  auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  std::uint32_t c0 = low(index), c1 = high(index), c2 = low(stream), c3 = high(stream);
  std::uint32_t k0 = low(seed), k1 = high(seed);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p0 = kPhiloxM0 * c0;
    const std::uint64_t p1 = kPhiloxM1 * c2;
    const std::uint32_t n0 = high(p1) ^ c1 ^ k0;
    const std::uint32_t n2 = high(p0) ^ c3 ^ k1;
    c1 = low(p1);
    c3 = low(p0);
    c0 = n0;
    c2 = n2;
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  return {c0, c1, c2, c3};
}

/// Uniform in [0, 1) with 24 bits: exact in float, so every device agrees to the bit.
MINIDL_HOST_DEVICE constexpr float philox_uniform(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Uniform in (0, 1], whose logarithm stays finite.
MINIDL_HOST_DEVICE constexpr float philox_positive(std::uint32_t word) {
  return static_cast<float>((word >> 8) + 1) * 0x1p-24f;
}

/// Standard normal from two words (Box and Muller 1958). Kernels of a GPU, which has its own log
/// and cos, may differ in the last bits.
inline float philox_normal(std::uint32_t a, std::uint32_t b) {
  return std::sqrt(-2.0f * std::log(philox_positive(a))) *
         std::cos(6.28318530717958647692f * philox_uniform(b));
}

/// Draws one number after another from (seed, stream): what host code needs to shuffle or augment.
class PhiloxSequence {
 public:
  PhiloxSequence(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  std::uint32_t next() {
    if (used_ == 4) {
      block_ = philox4x32(seed_, stream_, index_++);
      used_ = 0;
    }
    return block_[used_++];
  }
  float uniform() { return philox_uniform(next()); }
  float normal() {
    const std::uint32_t first = next();
    return philox_normal(first, next());
  }
  /// Uniform in 0..bound-1 without bias (Lemire 2019, rejection form); bound > 0.
  std::uint32_t below(std::uint32_t bound) {
    std::uint64_t product = std::uint64_t{next()} * bound;
    const std::uint32_t threshold = (0u - bound) % bound;
    while (static_cast<std::uint32_t>(product) < threshold) {
      product = std::uint64_t{next()} * bound;
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t index_ = 0;
  std::array<std::uint32_t, 4> block_{};
  std::uint32_t used_ = 4;
};

}  // namespace minidl
