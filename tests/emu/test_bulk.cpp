// TMA reductions of every element type, NaN outside of a tensor, and bulk copies that need no
// tensor map.
#include <cmath>
#include <limits>

#include "bulk.h"
#include "minidl/kernels/cuda/ptx/bulk_copy.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma_reduce.cuh"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;
using namespace minidl::kernels::cuda::ptx;
using minidl::kernels::cuda::make_tensor_map;

namespace {

// --- Reductions

struct Corner {
  std::int32_t c[5];
};

template <int Rank>
void reduce_kernel(const __grid_constant__ CUtensorMap map, Corner at, std::uint32_t bytes,
                   const unsigned char* in, emu::Reduction operation) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) {
    s[i] = in[blockIdx.x * bytes + i];
  }
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    std::int32_t c[Rank];
    for (int i = 0; i < Rank; ++i) c[i] = at.c[i];
    switch (operation) {
      case emu::Reduction::kAdd: tma_reduce_add(&map, shared_address(s), c); break;
      case emu::Reduction::kMin: tma_reduce_min(&map, shared_address(s), c); break;
      case emu::Reduction::kMax: tma_reduce_max(&map, shared_address(s), c); break;
    }
    bulk_commit();
    bulk_wait_read<0>();
  }
}

// Small values, of which sums are exact. Unsigned types hold -1 as their largest number.
template <class T>
T value_of(std::mt19937& engine) {
  const int n = std::uniform_int_distribution<int>(-50, 50)(engine);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(n);
  } else {
    return static_cast<T>(static_cast<float>(n));
  }
}

template <class T>
T combined(emu::Reduction operation, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (operation == emu::Reduction::kAdd) return static_cast<T>(a + b);
    return (operation == emu::Reduction::kMin) == (a < b) ? a : b;
  } else {
    const float x = static_cast<float>(a), y = static_cast<float>(b);
    if (operation == emu::Reduction::kAdd) return static_cast<T>(x + y);
    return (operation == emu::Reduction::kMin) == (x < y) ? a : b;
  }
}

// Three blocks reduce into one box of 3 rows and 64 bytes that juts out of a tensor of 9 x 48 bytes
// to the right.
template <class T>
void check_reduction(emu::Reduction operation, CUtensorMapDataType type) {
  constexpr std::uint32_t kColumns = 48 / sizeof(T), kBox = 64 / sizeof(T), kAt = 16 / sizeof(T);
  INFO("type " << type << " operation " << static_cast<int>(operation));
  auto engine = random_engine();
  std::vector<T> out(9 * kColumns), in(3 * 3 * kBox);
  for (T& x : out) x = value_of<T>(engine);
  for (T& x : in) x = value_of<T>(engine);
  std::vector<T> expected = out;
  for (std::uint32_t i = 0; i < in.size(); ++i) {
    const std::uint32_t row = 4 + i / kBox % 3, column = kAt + i % kBox;
    if (column >= kColumns) continue;
    T& x = expected[row * kColumns + column];
    x = combined(operation, x, in[i]);
  }
  const CUtensorMap map =
      make_tensor_map({"out", out.data(), type, sizeof(T), {kColumns, 9}, {48}, {kBox, 3}, 0});
  launch(blocks("reduce", 3, 32, 192), reduce_kernel<2>, map, Corner{{kAt, 4}}, 192U,
         reinterpret_cast<const unsigned char*>(in.data()), operation);
  CHECK(std::memcmp(out.data(), expected.data(), out.size() * sizeof(T)) == 0);
}

template <class T>
void check_reductions(CUtensorMapDataType type) {
  check_reduction<T>(emu::Reduction::kAdd, type);
  check_reduction<T>(emu::Reduction::kMin, type);
  check_reduction<T>(emu::Reduction::kMax, type);
}

// An element of a tensor of 4 x 1 x … floats.
template <int Rank>
void check_rank() {
  std::vector<float> out(4, 1), in{1, 2, 3, 4};
  CUtensorMap map{};
  const cuuint64_t sizes[5] = {4, 1, 1, 1, 1}, strides[4] = {16, 16, 16, 16};
  const cuuint32_t box[5] = {4, 1, 1, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  REQUIRE(emu::encode_tiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, Rank, out.data(), sizes, strides,
                            box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                            CU_TENSOR_MAP_L2_PROMOTION_NONE,
                            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  launch(blocks("reduce", 1, 32, 16), reduce_kernel<Rank>, map, Corner{}, 16U,
         reinterpret_cast<const unsigned char*>(in.data()), emu::Reduction::kAdd);
  CHECK(out == std::vector<float>{2, 3, 4, 5});
}

// --- Copies without a tensor map

// in -> shared memory -> out, in two halves, the second one through the other block of a cluster.
void copy_kernel(const unsigned char* in, unsigned char* out, std::uint32_t bytes) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);  // a half of the own, a half from the other block
  MINIDL_SHARED(std::uint64_t, objects, [2]);
  const std::uint32_t half = bytes / 2, rank = cluster_rank(), other = 1 - rank;
  const std::uint32_t loaded = shared_address(objects), sent = loaded + 8;
  const unsigned char* from = in + rank * half;
  if (threadIdx.x == 0) {
    mbarrier_init(loaded, 1);
    mbarrier_init(sent, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(loaded, half);
    mbarrier_arrive_expect(sent, half);
  }
  __syncwarp();
  cluster_sync();
  if (threadIdx.x == 0) bulk_load(shared_address(s), from, half, loaded);
  mbarrier_wait(loaded, 0);
  for (unsigned i = threadIdx.x; i < half; i += blockDim.x) {
    s[i] = static_cast<unsigned char>(s[i] + 1);
  }
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    bulk_copy_cluster(cluster_address(shared_address(s) + half, other), shared_address(s), half,
                      cluster_address(sent, other));
  }
  mbarrier_wait(sent, 0);
  __syncwarp();
  if (threadIdx.x == 0) {
    bulk_store(out + rank * half, shared_address(s) + half, half);
    bulk_commit();
    bulk_wait<0>();
  }
  __syncwarp();
  cluster_sync();
}

}  // namespace

TEST_CASE("TMA reductions of every type", "[bulk]") {
  INFO(seed_text());
  check_reductions<std::uint32_t>(CU_TENSOR_MAP_DATA_TYPE_UINT32);
  check_reductions<std::int32_t>(CU_TENSOR_MAP_DATA_TYPE_INT32);
  check_reductions<std::uint64_t>(CU_TENSOR_MAP_DATA_TYPE_UINT64);
  check_reductions<__half>(CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
  check_reductions<__nv_bfloat16>(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  check_reduction<float>(emu::Reduction::kAdd, CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
  check_reduction<std::int64_t>(emu::Reduction::kMin, CU_TENSOR_MAP_DATA_TYPE_INT64);
  check_reduction<std::int64_t>(emu::Reduction::kMax, CU_TENSOR_MAP_DATA_TYPE_INT64);
}

TEST_CASE("TMA reductions of every rank", "[bulk]") {
  check_rank<1>();
  check_rank<2>();
  check_rank<3>();
  check_rank<4>();
  check_rank<5>();
}

TEST_CASE("types that TMA does not reduce", "[bulk]") {
  alignas(16) static double data[4];
  const auto reduce = [](CUtensorMapDataType type, unsigned bytes, emu::Reduction operation) {
    return error_of([&] {
      const std::uint64_t n = 32 / bytes;
      const CUtensorMap map =
          make_tensor_map({"x", data, type, bytes, {n}, {}, {static_cast<std::uint32_t>(n)}, 0});
      launch(blocks("reduce", 1, 32, 32), reduce_kernel<1>, map, Corner{}, 32U,
             reinterpret_cast<const unsigned char*>(data), operation);
    });
  };
  for (const auto& [type, bytes, operation] :
       {std::tuple{CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4U, emu::Reduction::kMin},
        std::tuple{CU_TENSOR_MAP_DATA_TYPE_FLOAT64, 8U, emu::Reduction::kAdd},
        std::tuple{CU_TENSOR_MAP_DATA_TYPE_INT64, 8U, emu::Reduction::kAdd},
        std::tuple{CU_TENSOR_MAP_DATA_TYPE_UINT8, 1U, emu::Reduction::kMax},
        std::tuple{CU_TENSOR_MAP_DATA_TYPE_UINT16, 2U, emu::Reduction::kAdd}}) {
    CHECK_THAT(reduce(type, bytes, operation), Contains("of this element type"));
  }
}

TEST_CASE("reductions of floats: infinities, NaN, zeros of both signs", "[bulk]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = NAN;
  const auto reduced = [](emu::Reduction operation, float a, float b) {
    __half to(a);
    const __half from(b);
    emu::reduce_element(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, operation, reinterpret_cast<char*>(&to),
                        reinterpret_cast<const char*>(&from));
    return static_cast<float>(to);
  };
  CHECK(std::isnan(reduced(emu::Reduction::kAdd, inf, -inf)));
  CHECK(reduced(emu::Reduction::kAdd, 65504, 65504) == inf);
  CHECK(reduced(emu::Reduction::kMin, nan, 3) == 3);
  CHECK(reduced(emu::Reduction::kMax, 3, nan) == 3);
  CHECK(std::signbit(reduced(emu::Reduction::kMin, 0.F, -0.F)));
  CHECK(!std::signbit(reduced(emu::Reduction::kMax, -0.F, 0.F)));
}

TEST_CASE("NaN outside of a tensor of floats", "[bulk]") {
  const auto load = [](const CUtensorMap& map, std::vector<unsigned char>& out) {
    launch(
        blocks("load", 1, 32, out.size()),
        +[](const __grid_constant__ CUtensorMap m, unsigned char* p, std::uint32_t bytes) {
          MINIDL_DYNAMIC_SHARED(unsigned char, s);
          MINIDL_SHARED(std::uint64_t, object, [1]);
          const std::uint32_t barrier = shared_address(object);
          if (threadIdx.x == 0) {
            mbarrier_init(barrier, 1);
            fence_mbarrier_init();
            mbarrier_arrive_expect(barrier, bytes);
            tma_load(shared_address(s), &m, barrier, {-1, 2});
          }
          __syncthreads();
          mbarrier_wait(barrier, 0);
          for (unsigned i = threadIdx.x; i < bytes; i += 32) p[i] = s[i];
        },
        map, out.data(), static_cast<std::uint32_t>(out.size()));
  };
  const auto check = [&](auto zero, CUtensorMapDataType type) {
    using T = decltype(zero);
    INFO("type " << type);
    constexpr std::uint32_t kBox = 64 / sizeof(T);
    std::vector<T> in(3 * 16, static_cast<T>(1.F));  // 3 rows of 16, of which 10 belong to it
    std::vector<unsigned char> out(64 * 3);
    load(make_tensor_map(
             {"x", in.data(), type, sizeof(T), {10, 3}, {16 * sizeof(T)}, {kBox, 3}, 0, true}),
         out);
    for (std::uint32_t i = 0; i < 3 * kBox; ++i) {
      T value;
      std::memcpy(&value, &out[i * sizeof(T)], sizeof(T));
      const auto column = static_cast<int>(i % kBox) - 1;
      const bool inside = column >= 0 && column < 10 && i / kBox == 0;
      REQUIRE(std::isnan(static_cast<double>(static_cast<float>(value))) == !inside);
      if (inside) REQUIRE(static_cast<float>(value) == 1);
    }
  };
  check(__half(), CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
  check(__nv_bfloat16(), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  check(0.F, CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
  check(0.0, CU_TENSOR_MAP_DATA_TYPE_FLOAT64);
  alignas(16) static int ints[4];
  CHECK_THROWS_WITH(
      (make_tensor_map({"i", ints, CU_TENSOR_MAP_DATA_TYPE_INT32, 4, {4}, {}, {4}, 0, true})),
      Contains("CUresult 1"));
}

TEST_CASE("bulk copies from and to global memory and between blocks", "[bulk]") {
  INFO(seed_text());
  auto engine = random_engine();
  for (const std::uint32_t bytes : {32U, 480U, 8192U}) {
    const auto words = random_words(bytes / 4, engine);
    const auto* in = reinterpret_cast<const unsigned char*>(words.data());
    std::vector<unsigned char> out(bytes);
    LaunchConfig config = blocks("copy", 2, 64, bytes);
    config.cluster = dim3(2);
    launch(config, copy_kernel, in, out.data(), bytes);
    for (std::uint32_t i = 0; i < bytes; ++i) {
      const std::uint32_t from = (i + bytes / 2) % bytes;
      REQUIRE(out[i] == static_cast<unsigned char>(in[from] + 1));
    }
  }
}
