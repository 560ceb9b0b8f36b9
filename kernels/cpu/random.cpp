#include "minidl/kernels/random.h"

#include <array>

#include "minidl/kernels/common/philox.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

// Numbers drawn per block of four words: word i % 4 of block i / 4, or pair i % 2 of block i / 2.
struct UniformDraw {
  static constexpr std::int64_t kPerBlock = 4;
  static float draw(const std::array<std::uint32_t, 4>& words, std::size_t i) {
    return philox_uniform(words[i]);
  }
};

struct NormalDraw {
  static constexpr std::int64_t kPerBlock = 2;
  static float draw(const std::array<std::uint32_t, 4>& words, std::size_t i) {
    return philox_normal(words[2 * i], words[2 * i + 1]);
  }
};

// Calls use(i, number) for i in 0..count-1 with the numbers of elements first..first+count-1.
template <class Draw, class Use>
void draw_row(RandomKey key, std::int64_t first, std::int64_t count, const Use& use) {
  constexpr std::int64_t kPerBlock = Draw::kPerBlock;
  for (std::int64_t i = 0; i < count;) {
    const std::int64_t block = (first + i) / kPerBlock;
    const auto words = philox4x32(key.seed, key.stream, static_cast<std::uint64_t>(block));
    const std::int64_t end = std::min(count, (block + 1) * kPerBlock - first);
    for (; i < end; ++i) {
      use(i, Draw::draw(words, static_cast<std::size_t>(first + i - block * kPerBlock)));
    }
  }
}

// out = f(pointer into x, number). Operand 0 of the nest keeps its loops in logical row-major order
// and counts the elements.
template <class T, class Draw, class F>
void draw_elements(RandomKey key, const View& x, const View& out, const F& f) {
  const LoopNest<3> nest(out.shape, {contiguous_strides(out.shape), x.strides, out.strides});
  const std::int64_t x_step = nest.inner_stride(1);
  const std::int64_t out_step = nest.inner_stride(2);
  for_each_row(nest, kGrainExp, [&](const auto& at, std::int64_t count) {
    const T* from = x.ptr<T>() + at[1];
    T* to = out.ptr<T>() + at[2];
    draw_row<Draw>(key, at[0], count, [&](std::int64_t i, float number) {
      to[i * out_step] = f(from + i * x_step, number);
    });
  });
}

}  // namespace

void uniform(ExecContext&, RandomKey key, double low, double high, const View& out) {
  visit_float("uniform", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T start = static_cast<T>(low);
    const T width = static_cast<T>(high - low);
    draw_elements<T, UniformDraw>(key, out, out,
                                  [=](const T*, float u) { return start + width * T{u}; });
  });
}

void normal(ExecContext&, RandomKey key, double mean, double deviation, const View& out) {
  visit_float("normal", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T centre = static_cast<T>(mean);
    const T scale = static_cast<T>(deviation);
    draw_elements<T, NormalDraw>(key, out, out,
                                 [=](const T*, float z) { return centre + scale * T{z}; });
  });
}

void dropout(ExecContext&, RandomKey key, double p, const View& x, const View& out) {
  visit_float("dropout", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T{0};
    draw_elements<T, UniformDraw>(
        key, x, out, [=](const T* v, float u) { return double{u} >= p ? *v * scale : T{0}; });
  });
}

}  // namespace minidl::kernels::cpu
