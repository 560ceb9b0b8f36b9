// Asynchronous copies: cp.async with its groups, mbarriers with their phases, TMA boxes of every
// rank and swizzle. What a box is, is written down here element by element.
#include <algorithm>
#include <array>
#include <cmath>

#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;
using namespace minidl::kernels::cuda::ptx;

namespace {

using Words = std::vector<std::uint32_t>;

// Four groups of copies; the last one reads only part of its source.
template <int Bytes>
void copy_kernel(const unsigned char* in, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  const unsigned t = threadIdx.x;
  for (unsigned i = t; i < 512; i += 32) s[i] = 0xa5a5a5a5;
  __syncwarp();
  for (unsigned g = 0; g < 4; ++g) {
    const unsigned at = (g * 32 + t) * 16;
    cp_async<Bytes>(shared_address(s) + at, in + at,
                    g == 3 ? static_cast<int>(t % (Bytes + 1)) : Bytes);
    cp_async_commit();
  }
  const auto give = [&](unsigned g) {
    for (unsigned i = 0; i < 4; ++i) out[(g * 32 + t) * 4 + i] = s[(g * 32 + t) * 4 + i];
  };
  cp_async_wait<2>();  // groups 0 and 1 are there
  give(0);
  give(1);
  cp_async_wait<0>();
  give(2);
  give(3);
}

template <int Bytes>
void check_copy() {
  auto engine = random_engine();
  const Words in = random_words(512, engine);
  Words out(512);
  const auto* bytes = reinterpret_cast<const unsigned char*>(in.data());
  launch(blocks("cp.async", 1, 32, 2048), copy_kernel<Bytes>, bytes, out.data());
  const auto* result = reinterpret_cast<const unsigned char*>(out.data());
  for (unsigned i = 0; i < 2048; ++i) {
    const unsigned thread = i / 16 % 32, group = i / 512, byte = i % 16;
    const unsigned taken = group == 3 ? thread % (Bytes + 1) : Bytes;
    const unsigned expected = byte < taken ? bytes[i] : byte < Bytes ? 0 : 0xa5;
    REQUIRE(result[i] == expected);
  }
}

// --- TMA

struct Tensor {
  const char* name;
  std::vector<std::uint64_t> sizes;    // innermost first
  std::vector<std::uint64_t> strides;  // bytes, of all but the first
  std::vector<std::uint32_t> box;
  std::vector<std::int32_t> corner;
  unsigned element, swizzle;
};

CUtensorMap map_of(const Tensor& t, const void* base) {
  const auto type = t.element == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                    : t.element == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                    : t.element == 4 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                     : CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
  CUtensorMap map{};
  const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
  std::vector<cuuint64_t> sizes(t.sizes.begin(), t.sizes.end()),
      strides(t.strides.begin(), t.strides.end());
  const CUresult result = emu::encode_tiled(
      &map, type, static_cast<cuuint32_t>(sizes.size()), const_cast<void*>(base), sizes.data(),
      strides.data(), t.box.data(), steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      t.swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
      : t.swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
      : t.swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                        : CU_TENSOR_MAP_SWIZZLE_NONE,
      CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  REQUIRE(result == CUDA_SUCCESS);
  return map;
}

struct Corner {
  std::int32_t c[5];
};

template <int Rank>
void load_kernel(const __grid_constant__ CUtensorMap map, Corner at, std::uint32_t bytes,
                 unsigned char* out) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object);
  for (unsigned i = threadIdx.x; i < bytes + 256; i += blockDim.x) s[i] = 0xa5;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
  }
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    std::int32_t c[Rank];
    for (int i = 0; i < Rank; ++i) c[i] = at.c[i];
    mbarrier_arrive_expect(barrier, bytes);
    tma_load(shared_address(s), &map, barrier, c);
  }
  mbarrier_wait(barrier, 0);
  for (unsigned i = threadIdx.x; i < bytes + 256; i += blockDim.x) out[i] = s[i];
}

template <int Rank>
void store_kernel(const __grid_constant__ CUtensorMap map, Corner at, std::uint32_t bytes,
                  const unsigned char* in) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) s[i] = in[i];
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    std::int32_t c[Rank];
    for (int i = 0; i < Rank; ++i) c[i] = at.c[i];
    tma_store(&map, shared_address(s), c);
    bulk_commit();
    bulk_wait<0>();
  }
}

// For each byte of the box in shared memory: where it comes from in global memory, -1 if outside.
std::vector<std::int64_t> expected_places(const Tensor& t) {
  std::uint32_t bytes = t.element;
  for (const std::uint32_t extent : t.box) bytes *= extent;
  std::vector<std::int64_t> places(bytes);
  for (std::uint32_t linear = 0; linear < bytes; ++linear) {
    std::uint32_t rest = linear / t.element;
    std::int64_t place = linear % t.element;
    bool inside = true;
    for (std::size_t d = 0; d < t.box.size(); ++d) {
      const std::int64_t i = t.corner[d] + std::int64_t{rest % t.box[d]};
      rest /= t.box[d];
      inside = inside && i >= 0 && i < static_cast<std::int64_t>(t.sizes[d]);
      place += i * static_cast<std::int64_t>(d == 0 ? t.element : t.strides[d - 1]);
    }
    const std::uint32_t to = swizzled_place(linear, t.swizzle);
    places[to] = inside ? place : -1;
  }
  return places;
}

template <int Rank>
void check_box(const Tensor& t) {
  INFO(t.name);
  auto engine = random_engine();
  const std::size_t total = Rank == 1 ? t.sizes[0] * t.element : t.sizes.back() * t.strides.back();
  const Words words = random_words((total + 3) / 4, engine);
  const auto* global = reinterpret_cast<const unsigned char*>(words.data());
  const auto places = expected_places(t);
  const auto bytes = static_cast<std::uint32_t>(places.size());
  Corner corner{};
  std::copy(t.corner.begin(), t.corner.end(), corner.c);

  std::vector<unsigned char> tile(bytes + 256);
  launch(blocks(t.name, 1, 64, bytes + 256), load_kernel<Rank>, map_of(t, global), corner, bytes,
         tile.data());
  for (std::uint32_t i = 0; i < bytes; ++i) {
    REQUIRE(tile[i] == (places[i] < 0 ? 0 : global[places[i]]));
  }
  CHECK(std::count(tile.begin() + bytes, tile.end(), 0xa5) == 256);

  // Only loads may begin in front of a tensor.
  for (std::int32_t& c : corner.c) c = std::max(c, 0);
  Tensor behind = t;
  for (std::int32_t& c : behind.corner) c = std::max(c, 0);
  const auto targets = expected_places(behind);
  Words stored(words.size(), 0x77777777);
  const Words noise = random_words(bytes / 4, engine);
  const auto* source = reinterpret_cast<const unsigned char*>(noise.data());
  launch(blocks(t.name, 1, 64, bytes), store_kernel<Rank>, map_of(t, stored.data()), corner, bytes,
         source);
  std::vector<unsigned char> expected(stored.size() * 4, 0x77);
  for (std::uint32_t i = 0; i < bytes; ++i) {
    if (targets[i] >= 0) expected[static_cast<std::size_t>(targets[i])] = source[i];
  }
  CHECK(std::equal(expected.begin(), expected.end(),
                   reinterpret_cast<unsigned char*>(stored.data())));
}

}  // namespace

TEST_CASE("cp.async of 4, 8 and 16 bytes, in groups, with zeros", "[copies]") {
  INFO(seed_text());
  check_copy<4>();
  check_copy<8>();
  check_copy<16>();
}

TEST_CASE("an mbarrier's phases, as both parities see them", "[copies]") {
  std::vector<int> out;
  out.resize(32, -1);
  launch(
      blocks("phases", 1, 1),
      +[](int* p) {
        MINIDL_SHARED(std::uint64_t, object, [1]);
        const std::uint32_t b = shared_address(object);
        const auto see = [&] {
          *p++ = mbarrier_test(b, 0);
          *p++ = mbarrier_test(b, 1);
        };
        mbarrier_init(b, 2);
        see();
        mbarrier_arrive(b);
        see();
        mbarrier_arrive(b);
        see();
        mbarrier_wait(b, 0);
        mbarrier_arrive(b);
        mbarrier_arrive(b);
        see();
        mbarrier_wait(b, 1);
        mbarrier_invalidate(b);
        mbarrier_init(b, 1);
        see();
        mbarrier_arrive(b);
        see();
      },
      out.data());
  const std::vector<int> expected{0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0};
  CHECK(std::equal(expected.begin(), expected.end(), out.begin()));
}

TEST_CASE("threads wait for other threads at an mbarrier", "[copies]") {
  std::vector<int> out(32);
  launch(
      blocks("producer", 1, 64),
      +[](int* p) {
        MINIDL_SHARED(std::uint64_t, objects, [2]);
        MINIDL_SHARED(int, s, [32]);
        const std::uint32_t full = shared_address(objects), empty = full + 8, t = threadIdx.x;
        if (t == 0) {
          mbarrier_init(full, 32);
          mbarrier_init(empty, 32);
          fence_mbarrier_init();
        }
        __syncthreads();
        for (std::uint32_t round = 0; round < 5; ++round) {
          if (t < 32) {
            mbarrier_wait(empty, ~round & 1);
            s[t] = static_cast<int>(t * 10 + round);
            mbarrier_arrive(full);
          } else {
            mbarrier_wait(full, round & 1);
            p[t - 32] += s[63 - t];
            mbarrier_arrive(empty);
          }
        }
      },
      out.data());
  for (int i = 0; i < 32; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 50 * (31 - i) + 10);
}

TEST_CASE("TMA boxes: ranks, swizzles, edges", "[copies]") {
  INFO(seed_text());
  check_box<1>({"rank 1", {100}, {}, {64}, {50}, 4, 0});
  for (const auto& t :
       {Tensor{"128 B", {128, 100}, {256}, {64, 64}, {0, 0}, 2, 128},
        Tensor{"128 B, odd start", {128, 100}, {256}, {64, 64}, {3, 5}, 2, 128},
        Tensor{"right and below", {100, 100}, {208}, {64, 64}, {72, 77}, 2, 128},
        Tensor{"left and above", {100, 100}, {208}, {64, 64}, {-5, -3}, 2, 128},
        Tensor{"all outside", {100, 100}, {208}, {64, 64}, {200, 0}, 2, 128},
        Tensor{"128 B, 64-byte rows", {96, 40}, {192}, {32, 16}, {8, 1}, 2, 128},
        Tensor{"64 B", {96, 70}, {192}, {32, 64}, {8, 1}, 2, 64},
        Tensor{"32 B", {96, 70}, {192}, {16, 64}, {8, 1}, 2, 32},
        Tensor{"none, f32", {50, 50}, {208}, {32, 32}, {30, 30}, 4, 0},
        Tensor{"none, u8", {200, 60}, {208}, {64, 32}, {7, 3}, 1, 0},
        Tensor{"128 B, u8", {200, 60}, {208}, {128, 32}, {90, 3}, 1, 128},
        Tensor{"none, f64", {10, 30}, {80}, {4, 8}, {7, 25}, 8, 0},
        Tensor{"box larger than the tensor", {24, 20}, {48}, {64, 32}, {0, 0}, 2, 128}}) {
    check_box<2>(t);
  }
  check_box<3>({"rank 3", {40, 7, 5}, {96, 96 * 7}, {16, 4, 3}, {30, -1, 3}, 2, 32});
  check_box<4>({"rank 4", {64, 6, 5, 3}, {128, 768, 3840}, {64, 3, 3, 2}, {0, 4, -2, 1}, 2, 128});
  check_box<5>({"rank 5",
                {32, 4, 3, 3, 2},
                {64, 256, 768, 2304},
                {16, 2, 2, 2, 2},
                {24, 3, 2, -1, 1},
                2,
                0});
}

TEST_CASE("element strides of a tensor map", "[copies]") {
  // Every second row: a box of 8 rows moves 4.
  std::vector<float> in(20 * 4), out(16);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  CUtensorMap map{};
  const cuuint64_t sizes[] = {4, 20}, strides[] = {16};
  const cuuint32_t box[] = {4, 8}, steps[] = {1, 2};
  REQUIRE(emu::encode_tiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, in.data(), sizes, strides,
                            box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                            CU_TENSOR_MAP_L2_PROMOTION_NONE,
                            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  std::vector<unsigned char> tile(64 + 256);
  launch(blocks("steps", 1, 32, 320), load_kernel<2>, map, Corner{{0, 3}}, 64U, tile.data());
  for (std::size_t i = 0; i < 16; ++i) {
    float value = 0;
    std::memcpy(&value, &tile[4 * i], 4);
    REQUIRE(value == in[(3 + 2 * (i / 4)) * 4 + i % 4]);
  }
}

TEST_CASE("tensor maps that the driver refuses", "[copies]") {
  alignas(16) static float data[64];
  const auto make = [](const void* base, std::uint64_t stride, std::uint32_t box,
                       unsigned swizzle) {
    return minidl::kernels::cuda::make_tensor_map(
        {"x", base, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, {8, 8}, {stride}, {box, 4}, swizzle});
  };
  make(data, 32, 8, 128);
  CHECK_THROWS_WITH(make(data + 1, 32, 8, 128), Contains("multiple of 16"));
  CHECK_THROWS_WITH(make(data, 36, 8, 128), Contains("a stride of 36 bytes"));
  CHECK_THROWS_WITH(make(data, 32, 257, 0), Contains("a box of 257"));
  CHECK_THROWS_WITH(make(data, 32, 6, 0), Contains("box rows of 24 bytes"));
  CHECK_THROWS_WITH(make(data, 32, 64, 128), Contains("at most the swizzle's 128"));
  CHECK_THROWS_WITH(make(data, 32, 8, 48), Contains("a swizzle of 48"));
}

TEST_CASE("a store that was only read may be written late, but is by the end", "[copies]") {
  std::vector<float> out(2048, NAN);
  const CUtensorMap map = minidl::kernels::cuda::make_tensor_map(
      {"out", out.data(), CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, {32, 64}, {128}, {32, 32}, 0});
  launch(
      blocks("stores", 1, 64, 8192),
      +[](const __grid_constant__ CUtensorMap m) {
        MINIDL_DYNAMIC_SHARED(float, s);
        // Two buffers, each issued by a thread of its own.
        for (unsigned i = threadIdx.x; i < 2048; i += 64) s[i] = static_cast<float>(i);
        fence_proxy_async();
        __syncthreads();
        if (threadIdx.x % 32 == 0) {
          const std::int32_t part = static_cast<std::int32_t>(threadIdx.x) / 32;
          tma_store(&m, shared_address(s + 1024 * part), {0, 32 * part});
          bulk_commit();
          bulk_wait_read<0>();
        }
      },
      map);
  for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == static_cast<float>(i));
}
