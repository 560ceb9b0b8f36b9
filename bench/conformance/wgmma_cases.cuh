// wgmma of one operand type: every N, major and swizzle. Operand tiles are laid out on the host, so
// that a difference here is wgmma's own, not TMA's.
#pragma once

#include <type_traits>

#include "device.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"

namespace minidl::conformance {

using kernels::cuda::ptx::Swizzle;

// How an operand tile of `steps` times 32 bytes of K lies in shared memory, as the PTX ISA says for
// matrix descriptors: atoms of 8 rows of a span each, repeated by two strides.
struct TileLayout {
  Swizzle swizzle;
  bool mn_major;
  std::uint32_t element, steps;

  std::uint32_t span() const {
    return swizzle == Swizzle::k128  ? 128
           : swizzle == Swizzle::k64 ? 64
           : swizzle == Swizzle::k32 ? 32
                                     : 16;
  }
  std::uint32_t atom() const { return 8 * span(); }
  std::uint32_t depth() const { return steps * 32 / element; }  // elements of K
  bool bare() const { return swizzle == Swizzle::kNone; }

  std::uint32_t leading() const {
    if (mn_major && !bare()) return depth() / 8 * atom();  // to the next span of MN
    return atom();  // to the next 16 bytes of K or, MN-major, the next 8 of K
  }
  std::uint32_t stride() const {
    if (mn_major) return bare() ? depth() / 8 * atom() : atom();
    return bare() ? 2 * steps * atom() : atom();  // to the next 8 rows
  }
  // From one step along K to the next.
  std::uint32_t advance() const { return mn_major || bare() ? 2 * atom() : 32; }

  // Of element (mn, k), in a tile that starts at a multiple of 1024.
  std::uint32_t at(std::uint32_t mn, std::uint32_t k) const {
    const std::uint32_t along = (mn_major ? mn : k) * element, across = mn_major ? k : mn;
    const bool swapped = mn_major && bare();
    const std::uint32_t offset = across % 8 * span() + along % span() +
                                 along / span() * (swapped ? stride() : leading()) +
                                 across / 8 * (swapped ? leading() : stride());
    return offset ^ (offset / 128 & (span() / 16 - 1)) * 16;
  }
};

constexpr std::uint32_t kTileA = 16 * 1024, kTileB = 32 * 1024;

// What a thread of the kernel knows of an operand.
struct Operand {
  std::uint32_t leading, stride, advance;
  Swizzle swizzle;
};

// d = c + A B, or A B if `overwrite`, in `steps` instructions. Registers: A comes as fragments,
// four words per thread and step.
template <class T, bool AMn, bool BMn, bool Registers, int N, class Sum>
__global__ void __launch_bounds__(128, 1)
    multiply(const std::uint32_t* a, const std::uint32_t* b, Operand la, Operand lb,
             std::uint32_t steps, bool overwrite, const Sum* c, Sum* d) {
#if MINIDL_HAS_SM90A
  using namespace kernels::cuda::ptx;
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  const std::uint32_t t = threadIdx.x, tile_a = shared_address(s), tile_b = tile_a + kTileA;
  if constexpr (!Registers) {
    for (std::uint32_t i = t; i < kTileA / 4; i += 128) s[i] = a[i];
  }
  for (std::uint32_t i = t; i < kTileB / 4; i += 128) s[kTileA / 4 + i] = b[i];
  fence_proxy_async();
  __syncthreads();
  Sum sum[N / 2];
#pragma unroll
  for (std::uint32_t i = 0; i < N / 2; ++i) sum[i] = c[t * (N / 2) + i];
  for (std::uint32_t step = 0; step < steps; ++step) {
    const std::uint64_t db =
        matrix_descriptor(tile_b + step * lb.advance, lb.leading, lb.stride, lb.swizzle);
    const bool add = !overwrite || step > 0;
    if constexpr (Registers) {
      std::uint32_t fragment[4];
#pragma unroll
      for (std::uint32_t i = 0; i < 4; ++i) fragment[i] = a[(step * 128 + t) * 4 + i];
      wgmma_fence();
      wgmma<T, BMn>(sum, fragment, db, add);
    } else {
      const std::uint64_t da =
          matrix_descriptor(tile_a + step * la.advance, la.leading, la.stride, la.swizzle);
      wgmma_fence();
      wgmma<T, AMn, BMn>(sum, da, db, add);
    }
    wgmma_commit();
    wgmma_wait_all(sum);
  }
#pragma unroll
  for (std::uint32_t i = 0; i < N / 2; ++i) d[t * (N / 2) + i] = sum[i];
#else
  __trap();
#endif
}

// The bytes of a tile of `rows` by layout.depth() elements.
template <class S>
Words tile_of(const std::vector<S>& x, std::uint32_t rows, const TileLayout& layout,
              std::uint32_t bytes) {
  std::vector<unsigned char> tile(bytes);
  for (std::uint32_t mn = 0; mn < rows; ++mn) {
    for (std::uint32_t k = 0; k < layout.depth(); ++k) {
      std::memcpy(&tile.at(layout.at(mn, k)), &x[mn * layout.depth() + k], sizeof(S));
    }
  }
  return as_words(tile);
}

// A as the threads hold it in registers.
template <class S>
Words fragments_of(const std::vector<S>& a, std::uint32_t steps) {
  constexpr std::uint32_t kPer = 4 / sizeof(S), kK = 32 / sizeof(S);
  std::vector<S> fragments(std::size_t{steps} * 128 * 4 * kPer);
  for (std::uint32_t i = 0; i < fragments.size(); ++i) {
    const std::uint32_t step = i / (128 * 4 * kPer), t = i / (4 * kPer) % 128, e = i % (4 * kPer);
    const std::uint32_t row = t / 32 * 16 + t % 32 / 4 + e / kPer % 2 * 8;
    const std::uint32_t k = t % 4 * kPer + e % kPer + e / kPer / 2 * 4 * kPer;
    fragments[i] = a[row * steps * kK + step * kK + k];
  }
  return as_words(fragments);
}

// T: the operand type, A and B: what elements are stored as.
template <class T, class A, class B, class Sum, bool AMn, bool BMn, bool Registers, int N>
Words product(Swizzle swizzle, std::uint32_t steps, bool whole) {
  const TileLayout la{swizzle, AMn, sizeof(A), steps}, lb{swizzle, BMn, sizeof(B), steps};
  const auto a = numbers<A>(64 * la.depth(), 21, whole);
  const auto b = numbers<B>(N * lb.depth(), 22, whole);
  // What is overwritten must not matter: NaN. What is added to is small and whole.
  const Buffer<Sum> c = whole ? Buffer<Sum>(numbers<Sum>(64 * N, 23, true)) : Buffer<Sum>(64 * N);
  const Buffer<Sum> d(64 * N);
  const Buffer<std::uint32_t> in_a(Registers ? fragments_of(a, steps) : tile_of(a, 64, la, kTileA)),
      in_b(tile_of(b, N, lb, kTileB));
  const auto operand = [](const TileLayout& l) {
    return Operand{l.leading(), l.stride(), l.advance(), l.swizzle};
  };
  kernels::cuda::launch(blocks("wgmma", 1, 128, kTileA + kTileB),
                        multiply<T, AMn, BMn, Registers, N, Sum>, in_a.get(), in_b.get(),
                        operand(la), operand(lb), steps, !whole, c.get(), d.get());
  return d.words();
}

// Numbers of fp8 are added up with fewer bits than an f32 has, so they have exact cases only.
template <class T, class A, class B, class Sum, bool AMn, bool BMn, bool Registers, int N>
void add_products(Cases& cases, const char* type) {
  const std::string name = std::string("wgmma ") + type + " N" + std::to_string(N) +
                           (Registers ? " A registers"
                            : AMn     ? " A MN"
                                      : " A K") +
                           (BMn ? " B MN" : " B K");
  // K-major tiles end with their span, so that they have as many steps as it has 32 bytes.
  const struct {
    Swizzle swizzle;
    std::uint32_t steps;
    const char* name;
  } kinds[] = {{Swizzle::kNone, 2, " none"},
               {Swizzle::k32, 1, " 32 B"},
               {Swizzle::k64, 2, " 64 B"},
               {Swizzle::k128, 4, " 128 B"}};
  for (const auto& kind : kinds) {
    cases.push_back({name + kind.name, 0, [kind] {
                       return product<T, A, B, Sum, AMn, BMn, Registers, N>(kind.swizzle,
                                                                            kind.steps, true);
                     }});
  }
  if constexpr (std::is_same_v<Sum, float> && sizeof(A) > 1) {
    cases.push_back(
        {name + " 128 B, real", kProductTolerance,
         [] { return product<T, A, B, Sum, AMn, BMn, Registers, N>(Swizzle::k128, 4, false); }});
  }
}

template <class T, class A, class B, class Sum, int... N>
void add_k_major(Cases& cases, const char* type, std::integer_sequence<int, N...>) {
  (add_products<T, A, B, Sum, false, false, false, N>(cases, type), ...);
  (add_products<T, A, B, Sum, false, false, true, N>(cases, type), ...);
}

template <class T, int... N>
void add_mn_major(Cases& cases, const char* type, std::integer_sequence<int, N...>) {
  (add_products<T, T, T, float, true, false, false, N>(cases, type), ...);
  (add_products<T, T, T, float, false, true, false, N>(cases, type), ...);
  (add_products<T, T, T, float, true, true, false, N>(cases, type), ...);
  (add_products<T, T, T, float, false, true, true, N>(cases, type), ...);
}

using EveryN = std::integer_sequence<int, 8, 16, 32, 64, 96, 128, 192, 256>;
using SomeN = std::integer_sequence<int, 64, 96, 256>;

}  // namespace minidl::conformance
