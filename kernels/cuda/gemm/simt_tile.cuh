// The core of tier 1: a block multiplies a 64 x K piece of A with a K x 64 piece of B in ordinary
// arithmetic, wherever their elements come from: matrices (simt.cu) or the patches of a convolution
// (../conv.cu). Not part of the public interface.
//
//   256 threads, 16 x 16, each with 4 x 4 of the 64 x 64 sums. K is walked in slices of 16; two
//   slices of each operand are in shared memory, stored by k: one is multiplied while the next is
//   on its way through registers, with one barrier between. For a slice, a thread fetches four
//   elements of each operand at one k. Which of a warp's lanes differ in k and which in mn (the
//   dimension that is not summed over) is a choice, so that neighbours in memory are fetched by
//   neighbouring lanes.
//
//   Per slice a thread reads 2 x 16 x 4 elements of shared memory for 256 multiply-adds, and the
//   block fetches 2 x 16 x 64 elements for 65536: 16 flops per byte of f32 from L2.
//
// Each sum runs over k upwards in one thread.
#pragma once

#include <cstdint>

#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::kernels::cuda::simt {

inline constexpr int kTile = 64, kSlice = 16, kThreads = 256;
/// For __launch_bounds__: f64 wants more than 128 registers.
template <class T>
inline constexpr int kBlocksPerProcessor = sizeof(T) == 8 ? 1 : 2;

/// Four neighbours, which are moved at once.
template <class T>
struct alignas(16) Quad {
  T v[4];
};

/// What a thread fetches of a 64 x 16 slice: elements (mn + 16 j, k) for j = 0..3. KDense: the
/// lanes of a half-warp are neighbours along k, else along mn.
template <bool KDense>
struct FetchPlace {
  int mn = static_cast<int>(threadIdx.x) % 16, k = static_cast<int>(threadIdx.x) / 16;
};
template <>
struct FetchPlace<true> {
  int mn = static_cast<int>(threadIdx.x) / 16, k = static_cast<int>(threadIdx.x) % 16;
};

/// A thread's sums: sums[i].v[j] is at (row + i, column + j) of the tile.
struct SumPlace {
  int row = static_cast<int>(threadIdx.x) / 16 * 4, column = static_cast<int>(threadIdx.x) % 16 * 4;
};

template <class T>
struct TileSums {
  Quad<T> rows[4] = {};
};

/// Slices by k; a row has one Quad more than it needs, for the banks.
template <class T>
struct Slices {
  Quad<T> a[2][kSlice][kTile / 4 + 1], b[2][kSlice][kTile / 4 + 1];
};

template <class T>
__device__ void store_slice(Quad<T> (&slice)[kSlice][kTile / 4 + 1], int mn, int k,
                            const Quad<T>& fetched) {
#pragma unroll
  for (int j = 0; j < 4; ++j) slice[k][mn / 4 + 4 * j].v[mn % 4] = fetched.v[j];
}

/// What `source` has at the thread's place, zeros beyond the last k.
template <class T, class Source>
__device__ Quad<T> fetch(const Source& source, bool inside) {
  Quad<T> result{};
  if (inside) {
#pragma unroll
    for (int j = 0; j < 4; ++j) result.v[j] = source.fetch(j);
  }
  return result;
}

/// sums += A B over k = 0..depth-1, by all threads of the block. A and B know the thread's place:
///     T fetch(int j) const;    // the element at mn + 16 j (zero beyond the operand), at this k
///     void advance(int by);    // to another k; they begin at 0
/// Threads without `wanted` sums fetch and wait with the others, but do not multiply.
template <class T, bool KDenseA, bool KDenseB, class A, class B>
__device__ void add_products(A a, B b, std::int64_t depth, bool wanted, TileSums<T>& sums) {
  MINIDL_SHARED(Slices<T>, slices, );
  const FetchPlace<KDenseA> place_a;
  const FetchPlace<KDenseB> place_b;
  const SumPlace place;
  if (depth <= 0) return;  // for all threads alike
  a.advance(place_a.k);
  b.advance(place_b.k);
  store_slice(slices.a[0], place_a.mn, place_a.k, fetch<T>(a, place_a.k < depth));
  store_slice(slices.b[0], place_b.mn, place_b.k, fetch<T>(b, place_b.k < depth));
  __syncthreads();
  int stage = 0;
  for (std::int64_t left = depth; left > 0; left -= kSlice, stage ^= 1) {
    Quad<T> next_a, next_b;
    if (left > kSlice) {
      a.advance(kSlice);
      b.advance(kSlice);
      next_a = fetch<T>(a, place_a.k < left - kSlice);
      next_b = fetch<T>(b, place_b.k < left - kSlice);
    }
    if (wanted) {
#pragma unroll
      for (int k = 0; k < kSlice; ++k) {
        const Quad<T> x = slices.a[stage][k][place.row / 4];
        const Quad<T> y = slices.b[stage][k][place.column / 4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums.rows[i].v[j] += x.v[i] * y.v[j];
        }
      }
    }
    if (left > kSlice) {
      store_slice(slices.a[stage ^ 1], place_a.mn, place_a.k, next_a);
      store_slice(slices.b[stage ^ 1], place_b.mn, place_b.k, next_b);
    }
    __syncthreads();  // after the last slice, too: the next tile begins with writing
  }
}

/// Writes the first `count` of four neighbours; at once if `aligned`.
template <class T>
__device__ void store_quad(T* to, const Quad<T>& value, std::int64_t count, bool aligned) {
  if (aligned && count >= 4) {
    *reinterpret_cast<Quad<T>*>(to) = value;
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (j < count) to[j] = value.v[j];
    }
  }
}

/// Whether rows of n elements from `data` on consist of whole Quads.
template <class T>
bool has_aligned_rows(const T* data, std::int64_t n) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && n % 4 == 0;
}

}  // namespace minidl::kernels::cuda::simt
