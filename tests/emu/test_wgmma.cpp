// wgmma and clusters. Operand tiles are written by threads in the layouts that the PTX ISA gives
// for matrix descriptors, built here from 8-row core matrices; products of small integers are
// exact.
#include <cmath>

#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"
#include "number.h"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;
using namespace minidl::kernels::cuda::ptx;

namespace {

using Bytes = std::vector<unsigned char>;

// How a tile lies: what goes into its descriptor, and where element (mn, k) is.
struct Layout {
  Swizzle swizzle;
  bool mn_major;
  std::uint32_t leading, stride, element;

  std::uint32_t span() const {
    return swizzle == Swizzle::k128  ? 128
           : swizzle == Swizzle::k64 ? 64
           : swizzle == Swizzle::k32 ? 32
                                     : 16;
  }
  // A tile that starts at a multiple of 1024.
  std::uint32_t at(std::uint32_t mn, std::uint32_t k) const {
    const std::uint32_t major = (mn_major ? mn : k) * element, minor = mn_major ? k : mn;
    // 8 rows of a span each make an atom; atoms repeat by the two strides.
    std::uint32_t offset = minor % 8 * span() + major % span();
    const std::uint32_t along_major = major / span(), along_minor = minor / 8;
    const bool swapped = mn_major && swizzle == Swizzle::kNone;
    offset +=
        along_major * (swapped ? stride : leading) + along_minor * (swapped ? leading : stride);
    const std::uint32_t mask = span() / 16 - 1;
    return offset ^ (offset / 128 & mask) * 16;
  }
};

// Tight strides for a tile with 32 bytes of K.
Layout layout(Swizzle swizzle, bool mn_major, std::uint32_t element) {
  Layout l{swizzle, mn_major, 0, 0, element};
  const std::uint32_t atom = 8 * l.span(), k = 32 / element;
  if (!mn_major) {
    l.leading = atom;  // to the next 16 bytes of K, without swizzle
    l.stride = swizzle == Swizzle::kNone ? 2 * atom : atom;
  } else if (swizzle == Swizzle::kNone) {
    l.leading = atom;         // to the next 8 of K
    l.stride = k / 8 * atom;  // to the next 8 of MN
  } else {
    l.stride = atom;           // to the next 8 of K
    l.leading = k / 8 * atom;  // to the next span of MN
  }
  return l;
}

constexpr std::uint32_t kTileBytes = 256 * 128;

struct Tiles {
  const unsigned char *a, *b;
  Layout la, lb;
};

template <class T, bool AMn, bool BMn, bool Registers, int N, class Sum>
void product_kernel(Tiles tiles, const std::uint32_t* fragments, Sum* d, bool scale_d) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  const std::uint32_t t = threadIdx.x;
  for (std::uint32_t i = t; i < kTileBytes; i += 128) {
    s[i] = tiles.a[i];
    s[kTileBytes + i] = tiles.b[i];
  }
  fence_proxy_async();
  __syncthreads();
  const auto da =
      matrix_descriptor(shared_address(s), tiles.la.leading, tiles.la.stride, tiles.la.swizzle);
  const auto db = matrix_descriptor(shared_address(s) + kTileBytes, tiles.lb.leading,
                                    tiles.lb.stride, tiles.lb.swizzle);
  Sum acc[N / 2];
  std::uint32_t fa[4];
  for (std::uint32_t i = 0; i < N / 2; ++i) acc[i] = d[t * (N / 2) + i];
  for (std::uint32_t i = 0; i < 4; ++i) fa[i] = fragments[t * 4 + i];
  wgmma_fence();
  if constexpr (Registers) {
    wgmma<T, BMn>(acc, fa, db, scale_d);
    wgmma<T, BMn>(acc, fa, db, true);  // a second one on the same accumulators
  } else {
    wgmma<T, AMn, BMn>(acc, da, db, scale_d);
    wgmma<T, AMn, BMn>(acc, da, db, true);
  }
  wgmma_commit();
  wgmma_wait<0>();
  for (std::uint32_t i = 0; i < N / 2; ++i) d[t * (N / 2) + i] = acc[i];
}

template <class S>
Bytes tile_of(const std::vector<S>& x, std::uint32_t mns, std::uint32_t ks, const Layout& l) {
  Bytes tile(kTileBytes, 0);
  for (std::uint32_t mn = 0; mn < mns; ++mn) {
    for (std::uint32_t k = 0; k < ks; ++k) {
      const std::uint32_t at = l.at(mn, k);
      REQUIRE(at + sizeof(S) <= kTileBytes);
      std::memcpy(&tile[at], &x[mn * ks + k], sizeof(S));
    }
  }
  return tile;
}

// T: the operand type, S and SB: what elements of A and B are stored as.
template <class T, class S, class Sum, bool AMn, bool BMn, bool Registers, int N, class SB = S>
void check_product(Swizzle swizzle) {
  constexpr std::uint32_t kK = 32 / sizeof(S), kPer = 4 / sizeof(S);
  INFO("N " << N << " K " << kK << " swizzle " << static_cast<int>(swizzle) << " MN-major " << AMn
            << BMn << " registers " << Registers);
  auto engine = random_engine();
  const auto a = small_integers<S>(64 * kK, engine);
  const auto b = small_integers<SB>(N * kK, engine);
  const auto c = small_integers<Sum>(64 * N, engine);
  const Layout la = layout(swizzle, AMn, sizeof(S)), lb = layout(swizzle, BMn, sizeof(S));
  const Bytes tile_a = tile_of(a, 64, kK, la), tile_b = tile_of(b, N, kK, lb);
  std::vector<std::uint32_t> fragments(128 * 4);
  for (std::uint32_t t = 0; t < 128; ++t) {
    for (std::uint32_t i = 0; i < 4 * kPer; ++i) {
      const std::uint32_t row = t / 32 * 16 + t % 32 / 4 + i / kPer % 2 * 8;
      const std::uint32_t k = t % 4 * kPer + i % kPer + i / kPer / 2 * 4 * kPer;
      std::uint32_t word = 0;
      std::memcpy(&word, &a[row * kK + k], sizeof(S));
      fragments[t * 4 + i / kPer] |= word << 32 / kPer * (i % kPer);
    }
  }
  for (const bool scale_d : {true, false}) {
    std::vector<Sum> d(128 * N / 2);
    const auto place = [](std::uint32_t t, std::uint32_t i) {
      const std::uint32_t row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
      return row * N + i / 4 * 8 + t % 4 * 2 + i % 2;
    };
    for (std::uint32_t t = 0; t < 128; ++t) {
      for (std::uint32_t i = 0; i < N / 2; ++i) {
        // What is not added to must not matter.
        d[t * (N / 2) + i] = scale_d ? c[place(t, i)] : static_cast<Sum>(12345);
      }
    }
    launch(blocks("product", 1, 128, 2 * kTileBytes),
           product_kernel<T, AMn, BMn, Registers, N, Sum>,
           Tiles{tile_a.data(), tile_b.data(), la, lb}, fragments.data(), d.data(), scale_d);
    for (std::uint32_t t = 0; t < 128; ++t) {
      for (std::uint32_t i = 0; i < N / 2; ++i) {
        const std::uint32_t at = place(t, i), row = at / N, column = at % N;
        double sum = 0;
        for (std::uint32_t k = 0; k < kK; ++k) {
          sum += static_cast<double>(static_cast<float>(a[row * kK + k])) *
                 static_cast<double>(static_cast<float>(b[column * kK + k]));
        }
        const double expected = 2 * sum + (scale_d ? static_cast<double>(c[at]) : 0);
        REQUIRE(static_cast<double>(d[t * (N / 2) + i]) == expected);
      }
    }
  }
}

template <class T, int N>
void check_16_bit() {
  for (const Swizzle s : {Swizzle::kNone, Swizzle::k32, Swizzle::k64, Swizzle::k128}) {
    check_product<T, T, float, false, false, false, N>(s);
    check_product<T, T, float, true, true, false, N>(s);
    check_product<T, T, float, false, true, true, N>(s);
  }
  check_product<T, T, float, true, false, false, N>(Swizzle::k128);
  check_product<T, T, float, false, true, false, N>(Swizzle::k128);
}

}  // namespace

TEST_CASE("wgmma of f16 and bf16, both majors, all swizzles", "[wgmma]") {
  INFO(seed_text());
  check_16_bit<__half, 64>();
  check_16_bit<__nv_bfloat16, 128>();
  check_product<__half, __half, float, false, false, false, 8>(Swizzle::k128);
  check_product<__half, __half, float, false, false, true, 256>(Swizzle::k128);
}

TEST_CASE("wgmma of tf32 and s8", "[wgmma]") {
  INFO(seed_text());
  for (const Swizzle s : {Swizzle::kNone, Swizzle::k32, Swizzle::k64, Swizzle::k128}) {
    check_product<Tf32, float, float, false, false, false, 64>(s);
    check_product<Tf32, float, float, false, false, true, 32>(s);
    check_product<std::int8_t, std::int8_t, std::int32_t, false, false, false, 96>(s);
    check_product<std::int8_t, std::int8_t, std::int32_t, false, false, true, 16>(s);
  }
}

TEST_CASE("wgmma of fp8, both types with both", "[wgmma]") {
  INFO(seed_text());
  using E4 = __nv_fp8_e4m3;
  using E5 = __nv_fp8_e5m2;
  for (const Swizzle s : {Swizzle::kNone, Swizzle::k32, Swizzle::k64, Swizzle::k128}) {
    check_product<E4, E4, float, false, false, false, 64>(s);
    check_product<E5, E5, float, false, false, true, 8>(s);
    check_product<Mixed<E4, E5>, E4, float, false, false, false, 96, E5>(s);
    check_product<Mixed<E5, E4>, E5, float, false, false, false, 32, E4>(s);
    check_product<Mixed<E4, E5>, E4, float, false, false, true, 16, E5>(s);
  }
}

TEST_CASE("fp8 numbers are those of cuda_fp8.h", "[wgmma]") {
  for (unsigned i = 0; i < 256; ++i) {
    __nv_fp8_e4m3 e4;
    __nv_fp8_e5m2 e5;
    e4.__x = e5.__x = static_cast<unsigned char>(i);
    for (const auto& [type, expected] : {std::pair{emu::Type::kE4m3, static_cast<float>(e4)},
                                         std::pair{emu::Type::kE5m2, static_cast<float>(e5)}}) {
      const float value = emu::to_float(type, i);
      INFO("bits " << i << " type " << static_cast<int>(type));
      CHECK(std::isnan(value) == std::isnan(expected));
      if (std::isnan(expected)) continue;
      CHECK(value == expected);
      CHECK(std::signbit(value) == (i >= 128));
    }
  }
}

TEST_CASE("the N that wgmma has", "[wgmma]") {
  for (unsigned n = 0; n <= 264; ++n) {
    const bool eights = n > 0 && n <= 256 && n % 8 == 0;
    CHECK(emu::wgmma_has_n(emu::Type::kF16, n) == eights);
    CHECK(emu::wgmma_has_n(emu::Type::kE4m3, n) == eights);
    CHECK(emu::wgmma_has_n(emu::Type::kS8, n) == (eights && (n == 8 || n == 24 || n % 16 == 0)));
  }
}

TEST_CASE("blocks of a cluster: ranks, each other's memory, barriers", "[cluster]") {
  for (const unsigned n : {2U, 4U, 8U}) {
    std::vector<std::uint32_t> out(3 * n * 2);
    LaunchConfig config = blocks("cluster", 2 * n, 64);
    config.cluster = dim3(n);
    launch(
        config,
        +[](std::uint32_t* p, std::uint32_t size) {
          MINIDL_SHARED(std::uint32_t, mail, [2]);
          MINIDL_SHARED(std::uint64_t, object, [1]);
          const std::uint32_t rank = cluster_rank(), t = threadIdx.x,
                              barrier = shared_address(object);
          if (t == 0) {
            mbarrier_init(barrier, size);
            fence_mbarrier_init();
            mail[0] = 1000 * blockIdx.x;
          }
          __syncwarp();
          cluster_sync();
          const std::uint32_t next = (rank + 1) % size;
          if (t == 0) {
            p[3 * blockIdx.x] = load_cluster(cluster_address(shared_address(mail), next));
            store_cluster(cluster_address(shared_address(mail + 1), next), rank);
          }
          __syncwarp();  // the other lanes' arrivals announce lane 0's store
          if (t < size) mbarrier_arrive_cluster(cluster_address(barrier, t));
          mbarrier_wait(barrier, 0);
          if (t == 0) {
            p[3 * blockIdx.x + 1] = rank;
            p[3 * blockIdx.x + 2] = mail[1];
          }
          __syncwarp();
          cluster_sync();
        },
        out.data(), n);
    for (unsigned block = 0; block < 2 * n; ++block) {
      const unsigned rank = block % n, next = block - rank + (rank + 1) % n;
      REQUIRE(out[3 * block] == 1000 * next);
      REQUIRE(out[3 * block + 1] == rank);
      REQUIRE(out[3 * block + 2] == (rank + n - 1) % n);
    }
  }
}

TEST_CASE("TMA multicast", "[cluster]") {
  // Each block of a cluster loads a quarter of a tile of 32 x 32 and sends it to all four.
  INFO(seed_text());
  auto engine = random_engine();
  const auto in = random_words(1024, engine);
  std::vector<std::uint32_t> out(4 * 1024);
  const CUtensorMap map = minidl::kernels::cuda::make_tensor_map(
      {"in", in.data(), CU_TENSOR_MAP_DATA_TYPE_UINT32, 4, {32, 32}, {128}, {32, 8}, 0});
  LaunchConfig config = blocks("multicast", 4, 64, 4096);
  config.cluster = dim3(4);
  launch(
      config,
      +[](const __grid_constant__ CUtensorMap m, std::uint32_t* p) {
        MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
        MINIDL_SHARED(std::uint64_t, object, [1]);
        const std::uint32_t rank = cluster_rank(), barrier = shared_address(object);
        if (threadIdx.x == 0) {
          mbarrier_init(barrier, 1);
          fence_mbarrier_init();
          mbarrier_arrive_expect(barrier, 4096);
        }
        __syncwarp();
        cluster_sync();
        if (threadIdx.x == 0) {
          tma_load_multicast(shared_address(s) + 1024 * rank, &m, barrier,
                             {0, static_cast<std::int32_t>(8 * rank)}, 0xf);
        }
        mbarrier_wait(barrier, 0);
        for (std::uint32_t i = threadIdx.x; i < 1024; i += 64) p[1024 * rank + i] = s[i];
        __syncwarp();
        cluster_sync();
      },
      map, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == in[i % 1024]);
}
