#include "minidl/kernels/random.h"

#include <algorithm>
#include <array>

#include "minidl/kernels/common/philox.h"
#include "minidl/kernels/cpu/rows.h"
#include "minidl/kernels/draws.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::size_t kBatch = 16;
using Words = std::array<std::array<std::uint32_t, 4>, kBatch>;

// philox4x32 of kBatch blocks, side by side: one block alone would wait for its own products.
void philox_batch(RandomKey key, std::uint64_t first_block, Words& words) {
  std::array<std::array<std::uint32_t, kBatch>, 4> counter;
  for (std::size_t i = 0; i < kBatch; ++i) {
    counter[0][i] = static_cast<std::uint32_t>(first_block + i);
    counter[1][i] = static_cast<std::uint32_t>((first_block + i) >> 32);
    counter[2][i] = static_cast<std::uint32_t>(key.stream);
    counter[3][i] = static_cast<std::uint32_t>(key.stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (std::size_t i = 0; i < kBatch; ++i) {
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
  for (std::size_t i = 0; i < kBatch; ++i) {
    for (std::size_t k = 0; k < 4; ++k) words[i][k] = counter[k][i];
  }
}

// Calls use(i, count, numbers) for consecutive pieces of 0..count-1 with the numbers of the
// elements first..first+count-1.
template <class Draw, class Use>
void draw_row(RandomKey key, std::int64_t first, std::int64_t count, const Use& use) {
  constexpr std::int64_t kPerBatch = Draw::kPerBlock * std::int64_t{kBatch};
  Words words;
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

// out = f(x, number). Operand 0 of the nest keeps its loops in logical row-major order and counts
// the elements.
template <class T, class Draw, class F>
void draw_elements(RandomKey key, const View& x, const View& out, const F& f) {
  const LoopNest<3> nest(out.shape, {contiguous_strides(out.shape), x.strides, out.strides});
  const std::int64_t x_step = nest.inner_stride(1);
  const std::int64_t out_step = nest.inner_stride(2);
  for_each_row(nest, kGrainExp, [&](const auto& at, std::int64_t row_length) {
    draw_row<Draw>(key, at[0], row_length,
                   [&](std::int64_t i, std::int64_t count, const float* numbers) {
                     const T* from = x.ptr<T>() + at[1] + i * x_step;
                     T* to = out.ptr<T>() + at[2] + i * out_step;
                     if (x_step == 1 && out_step == 1) {
                       for (std::int64_t k = 0; k < count; ++k) to[k] = f(from[k], numbers[k]);
                     } else {
                       for (std::int64_t k = 0; k < count; ++k) {
                         to[k * out_step] = f(from[k * x_step], numbers[k]);
                       }
                     }
                   });
  });
}

}  // namespace

void uniform(ExecContext&, RandomKey key, double low, double high, const View& out) {
  visit_float("uniform", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T start = static_cast<T>(low);
    const T width = static_cast<T>(high - low);
    draw_elements<T, UniformDraw>(key, out, out, [=](T, float u) { return start + width * T{u}; });
  });
}

void normal(ExecContext&, RandomKey key, double mean, double deviation, const View& out) {
  visit_float("normal", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T centre = static_cast<T>(mean);
    const T scale = static_cast<T>(deviation);
    draw_elements<T, NormalDraw>(key, out, out, [=](T, float z) { return centre + scale * T{z}; });
  });
}

void dropout(ExecContext&, RandomKey key, double p, const View& x, const View& out) {
  visit_float("dropout", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    draw_elements<T, UniformDraw>(key, x, out, DropoutRule<T>(p));
  });
}

}  // namespace minidl::kernels::cpu
