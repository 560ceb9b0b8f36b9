// Random numbers by element: Philox4x32-10 keyed by (seed, stream, logical row-major index), so
// that the result depends neither on the layout nor on threads nor on the device.
#pragma once

#include <cstdint>

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// What a random kernel draws from: one stream per call.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

/// out[i] = low + (high - low) * u, with u word i % 4 of block i / 4. f32 and f64.
using Uniform = void(ExecContext&, RandomKey key, double low, double high, const View& out);

/// out[i] = mean + deviation * z, with z from words 2 * (i % 2) and the next of block i / 2. f32,
/// f64.
using Normal = void(ExecContext&, RandomKey key, double mean, double deviation, const View& out);

/// out[i] = x[i] / (1 - p) where u(i) >= p, else 0, with Uniform's u. The same call on the gradient
/// is the backward pass, so no mask is kept. p in 0..1; p == 1 gives zeros. f32 and f64, any
/// strides.
using Dropout = void(ExecContext&, RandomKey key, double p, const View& x, const View& out);

namespace cpu {
Uniform uniform;
Normal normal;
Dropout dropout;
}  // namespace cpu

namespace cuda {
Uniform uniform;
Normal normal;
Dropout dropout;
}  // namespace cuda

inline constexpr Entry<Uniform> uniform{cpu::uniform, cuda::uniform, writes_last(1)};
inline constexpr Entry<Normal> normal{cpu::normal, cuda::normal, writes_last(1)};
inline constexpr Entry<Dropout> dropout{cpu::dropout, cuda::dropout, writes_last(1)};

}  // namespace minidl::kernels
