// Random numbers: kernels/cuda/elements.cuh walks in logical row-major order and counts, so that a
// thread with four elements in a row needs one Philox block (two for normal), and one with a single
// element picks its number from its block.
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/cuda/rounding.cuh"
#include "minidl/kernels/draws.h"
#include "minidl/kernels/random.h"

namespace minidl::kernels::cuda {
namespace {

constexpr int kRun = 4;  // elements of a thread: whole blocks

/// NormalDraw with the cosine of multiples of pi, which has no slow way for large arguments.
struct DeviceNormalDraw {
  static constexpr std::int64_t kPerBlock = NormalDraw::kPerBlock;
  __device__ static float draw(const std::array<std::uint32_t, 4>& words, std::size_t i) {
    const float radius = sqrtf(-2.0F * logf(philox_positive(words[2 * i])));
    return radius * cospif(2.0F * philox_uniform(words[2 * i + 1]));
  }
};

/// out = f(x..., number)
template <class Draw, class F>
struct Drawn {
  RandomKey key;
  F f;

  template <int N, class T, class... X>
  __device__ void operator()(const Pack<std::int64_t, N>& index, Pack<T, N>& out,
                             const Pack<X, N>&... x) const {
    static_assert(N == 1 || N == kRun);
    constexpr int kPerBlock = static_cast<int>(Draw::kPerBlock);
    const auto first = static_cast<std::uint64_t>(index.at[0]);
#pragma unroll
    for (int start = 0; start < N; start += kPerBlock) {
      const auto words = philox4x32(key.seed, key.stream, (first + start) / kPerBlock);
#pragma unroll
      for (int k = 0; k < kPerBlock; ++k) {
        const int i = N == 1 ? 0 : start + k;
        if (N == 1 && first % kPerBlock != static_cast<std::uint64_t>(k)) continue;
        out.at[i] = f(x.at[i]..., Draw::draw(words, static_cast<std::size_t>(k)));
      }
    }
  }
};

template <class T>
struct Scaled {
  T centre, width;

  __device__ T operator()(float number) const { return add_product(centre, width, T{number}); }
};

template <class Draw, class F, class... Operands>
void draw(const ExecContext& ctx, const char* name, RandomKey key, const Shape& shape, const F& f,
          const Operands&... operands) {
  for_each_pack<kRun>(ctx, name, shape, Drawn<Draw, F>{key, f}, Numbers(shape), operands...);
}

}  // namespace

void uniform(ExecContext& ctx, RandomKey key, double low, double high, const View& out) {
  visit_float("uniform", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Scaled<T> f{static_cast<T>(low), static_cast<T>(high - low)};
    draw<UniformDraw>(ctx, "uniform", key, out.shape, f, Writes<T>{out});
  });
}

void normal(ExecContext& ctx, RandomKey key, double mean, double deviation, const View& out) {
  visit_float("normal", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Scaled<T> f{static_cast<T>(mean), static_cast<T>(deviation)};
    draw<DeviceNormalDraw>(ctx, "normal", key, out.shape, f, Writes<T>{out});
  });
}

void dropout(ExecContext& ctx, RandomKey key, double p, const View& x, const View& out) {
  visit_float("dropout", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    draw<UniformDraw>(ctx, "dropout", key, out.shape, DropoutRule<T>(p), Writes<T>{out},
                      Reads<T>{x});
  });
}

}  // namespace minidl::kernels::cuda
