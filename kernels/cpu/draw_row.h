// Random numbers for a row of elements at a time, as kernels/random.h keys them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "minidl/kernels/common/philox.h"
#include "minidl/kernels/draws.h"
#include "minidl/kernels/random.h"

namespace minidl::kernels::cpu {

inline constexpr std::size_t kPhiloxBatch = 16;
using PhiloxWords = std::array<std::array<std::uint32_t, 4>, kPhiloxBatch>;

/// philox4x32 of kPhiloxBatch blocks, side by side: one block alone would wait for its own
/// products.
inline void philox_batch(RandomKey key, std::uint64_t first_block, PhiloxWords& words) {
  std::array<std::array<std::uint32_t, kPhiloxBatch>, 4> counter;
  for (std::size_t i = 0; i < kPhiloxBatch; ++i) {
    counter[0][i] = static_cast<std::uint32_t>(first_block + i);
    counter[1][i] = static_cast<std::uint32_t>((first_block + i) >> 32);
    counter[2][i] = static_cast<std::uint32_t>(key.stream);
    counter[3][i] = static_cast<std::uint32_t>(key.stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (std::size_t i = 0; i < kPhiloxBatch; ++i) {
      const std::uint64_t p0 = kPhiloxM0 * counter[0][i];
      const std::uint64_t p1 = kPhiloxM1 * counter[2][i];
      counter[0][i] = static_cast<std::uint32_t>(p1 >> 32) ^ counter[1][i] ^ k0;
      counter[1][i] = static_cast<std::uint32_t>(p1);
      counter[2][i] = static_cast<std::uint32_t>(p0 >> 32) ^ counter[3][i] ^ k1;
      counter[3][i] = static_cast<std::uint32_t>(p0);
    }
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  for (std::size_t i = 0; i < kPhiloxBatch; ++i) {
    for (std::size_t k = 0; k < 4; ++k) words[i][k] = counter[k][i];
  }
}

/// Calls use(i, count, numbers) for consecutive pieces of 0..count-1 with the numbers of the
/// elements first..first+count-1.
template <class Draw, class Use>
void draw_row(RandomKey key, std::int64_t first, std::int64_t count, const Use& use) {
  constexpr std::int64_t kPerBatch = Draw::kPerBlock * std::int64_t{kPhiloxBatch};
  PhiloxWords words;
  std::array<float, kPerBatch> numbers;
  for (std::int64_t i = 0; i < count;) {
    const std::int64_t block = (first + i) / Draw::kPerBlock;
    philox_batch(key, static_cast<std::uint64_t>(block), words);
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      numbers[k] = Draw::draw(words[k / Draw::kPerBlock], k % Draw::kPerBlock);
    }
    const std::int64_t start = block * Draw::kPerBlock - first;  // of the batch, counted as i is
    const std::int64_t end = std::min(count, start + kPerBatch);
    use(i, end - i, numbers.data() + (i - start));
    i = end;
  }
}

}  // namespace minidl::kernels::cpu
