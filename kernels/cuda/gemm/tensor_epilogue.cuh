// What becomes of the sums of tensor cores: bias, rounding, stores. Not part of the public
// interface.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "minidl/kernels/cuda/gemm/gemm.h"
#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda {

template <class T>
struct Epilogue {
  T* out;
  const T* bias;
  std::int64_t bias_stride, m, n;
  bool pairs;  ///< rows begin at multiples of two elements

  /// Two neighbours of a row of a matrix of the batch, as far as they are in it.
  MINIDL_DEVICE void store(std::int64_t matrix, std::int64_t row, std::int64_t column, float x,
                           float y) const {
    if (row >= m || column >= n) return;
    const bool both = column + 1 < n;
    if (bias != nullptr) {
      x += static_cast<float>(bias[column * bias_stride]);
      if (both) y += static_cast<float>(bias[(column + 1) * bias_stride]);
    }
    struct alignas(2 * sizeof(T)) Pair {
      T x, y;
    } const pair{static_cast<T>(x), static_cast<T>(y)};
    T* to = out + (matrix * m + row) * n + column;
    if (pairs && both) {
      *reinterpret_cast<Pair*>(to) = pair;
    } else {
      to[0] = pair.x;
      if (both) to[1] = pair.y;
    }
  }
};

template <class T>
Epilogue<T> epilogue_of(const Gemm& g) {
  T* out = static_cast<T*>(g.out);
  return {
      out,           static_cast<const T*>(g.bias),
      g.bias_stride, g.m,
      g.n,           g.n % 2 == 0 && reinterpret_cast<std::uintptr_t>(out) % (2 * sizeof(T)) == 0};
}

}  // namespace minidl::kernels::cuda
