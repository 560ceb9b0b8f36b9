#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/device.h"
#include "minidl/kernels/common/dtype.h"
#include "minidl/kernels/common/half.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/rows.h"
#include "tests/catch.h"

using namespace minidl;
using kernels::LoopNest;
using kernels::max_threads;
using kernels::parallel_for;
using kernels::set_num_threads;

namespace {

std::uint16_t half_bits(float value) {
  return Half(value).bits;
}
std::uint16_t bf16_bits(float value) {
  return BFloat16(value).bits;
}

// Every element of a nest as (offset of operand 0, offset of operand 1), in walking order.
std::vector<std::array<std::int64_t, 2>> walk(const LoopNest<2>& nest, std::int64_t begin,
                                              std::int64_t end) {
  std::vector<std::array<std::int64_t, 2>> visited;
  kernels::cpu::walk_rows(nest, begin, end, [&](const auto& at, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      visited.push_back({at[0] + i * nest.inner_stride(0), at[1] + i * nest.inner_stride(1)});
    }
  });
  return visited;
}

}  // namespace

TEST_CASE("dims insert, erase and compare", "[common][cpu]") {
  Dims dims{2, 4};
  dims.insert(1, 3);
  CHECK(dims == Dims{2, 3, 4});
  dims.erase(0);
  CHECK(dims == Dims{3, 4});
  CHECK_FALSE(dims == Dims{3});
  CHECK(Dims{2, 3, 4}.slice(1, 3) == Dims{3, 4});
  CHECK(Dims{2, 3, 4}.slice(1, 1).empty());
  CHECK(to_string(dims) == "[3, 4]");
}

TEST_CASE("a ninth dimension is refused", "[common][cpu]") {
  Dims dims = Dims::filled(kMaxDims, 1);
  CHECK_THROWS_WITH(dims.push_back(1), Contains("at most 8"));
}

TEST_CASE("numel counts a scalar as one element", "[common][cpu]") {
  CHECK(numel({}) == 1);
  CHECK(numel({2, 3}) == 6);
  CHECK(numel({2, 0, 3}) == 0);
}

TEST_CASE("dense strides", "[common][cpu]") {
  CHECK(contiguous_strides({2, 3, 4}) == Dims{12, 4, 1});
  CHECK(channels_last_strides({2, 3, 4, 5}) == Dims{60, 1, 15, 3});
  CHECK_THROWS_WITH(channels_last_strides({2, 3}), Contains("[2, 3]"));
}

TEST_CASE("strides_like follows the nesting of another tensor", "[common][cpu]") {
  CHECK(strides_like({2, 3, 4, 5}, {60, 1, 15, 3}) == channels_last_strides({2, 3, 4, 5}));
  CHECK(strides_like({2, 3}, {1, 2}) == Dims{1, 2});
  CHECK(strides_like({2, 3}, {10, 2}) == Dims{3, 1});
  // Of another shape: four images of one channel, four of three, whatever stride that one has.
  CHECK(strides_like({4, 3, 5, 6}, {4, 1, 5, 6}, {30, 1, 6, 1}) == Dims{90, 30, 6, 1});
  CHECK(strides_like({4, 3, 5, 6}, {1, 3, 5, 6}, {1, 1, 18, 3}) == Dims{90, 1, 18, 3});
}

TEST_CASE("layout predicates ignore dimensions of one", "[common][cpu]") {
  CHECK(is_contiguous({2, 1, 3}, {3, 77, 1}));
  CHECK_FALSE(is_contiguous({2, 3}, {1, 2}));
  CHECK(is_channels_last({2, 3, 4, 5}, {60, 1, 15, 3}));
  CHECK_FALSE(is_channels_last({2, 3, 4, 5}, {60, 20, 5, 1}));
  CHECK(is_dense({2, 3}, {1, 2}));
  CHECK_FALSE(is_dense({2, 3}, {6, 2}));
  CHECK_FALSE(is_dense({2, 3}, {0, 1}));
}

TEST_CASE("shapes broadcast by NumPy's rule", "[common][cpu]") {
  CHECK(broadcast_shapes("add", {4, 1, 3}, {2, 1}) == Dims{4, 2, 3});
  CHECK(broadcast_shapes("add", {}, {2}) == Dims{2});
  CHECK(broadcast_shapes("add", {0}, {1}) == Dims{0});
  CHECK(broadcast_strides({3, 1}, {1, 1}, {2, 3, 4}) == Dims{0, 1, 0});
  CHECK_THROWS_WITH(broadcast_shapes("add", {2, 3}, {4}),
                    Contains("add") && Contains("[2, 3]") && Contains("[4]"));
}

TEST_CASE("negative dimensions count from the end", "[common][cpu]") {
  CHECK(normalize_dim("sum", -1, 3) == 2);
  CHECK(normalize_dim("sum", 0, 3) == 0);
  CHECK_THROWS_WITH(normalize_dim("sum", 3, 3), Contains("sum") && Contains("3-D"));
}

TEST_CASE("a loop nest merges dense operands into one loop", "[common][cpu]") {
  const Shape shape{2, 3, 4, 5};
  const LoopNest<2> rows(shape, {contiguous_strides(shape), contiguous_strides(shape)});
  CHECK(rows.extents == Dims{120});
  const LoopNest<2> images(shape, {channels_last_strides(shape), channels_last_strides(shape)});
  CHECK(images.extents == Dims{120});
  CHECK(images.inner_stride(0) == 1);
}

TEST_CASE("a loop nest keeps a broadcast channel as the inner loop", "[common][cpu]") {
  const LoopNest<2> nest({2, 3, 4, 5}, {channels_last_strides({2, 3, 4, 5}), Dims{0, 1, 0, 0}});
  CHECK(nest.extents == Dims{40, 3});
  CHECK(nest.inner_stride(1) == 1);
}

TEST_CASE("a loop nest over a scalar has one loop of one", "[common][cpu]") {
  const LoopNest<2> nest({}, {Dims{}, Dims{}});
  CHECK(nest.extents == Dims{1});
  CHECK(walk(nest, 0, 1).size() == 1);
}

TEST_CASE("walking a nest in pieces visits what walking it whole does", "[common][cpu]") {
  const LoopNest<2> nest({3, 4, 5}, {Dims{40, 10, 2}, Dims{1, 3, 12}});
  const auto whole = walk(nest, 0, 60);
  REQUIRE(whole.size() == 60);
  std::size_t i = 0;
  for (std::int64_t a = 0; a < 3; ++a) {
    for (std::int64_t b = 0; b < 4; ++b) {
      for (std::int64_t c = 0; c < 5; ++c, ++i) {
        INFO("element " << i);
        CHECK(whole[i] == std::array<std::int64_t, 2>{40 * a + 10 * b + 2 * c, a + 3 * b + 12 * c});
      }
    }
  }
  for (std::int64_t cut = 0; cut <= 60; ++cut) {
    auto pieces = walk(nest, 0, cut);
    for (const auto& element : walk(nest, cut, 60)) pieces.push_back(element);
    INFO("cut at " << cut);
    CHECK(pieces == whole);
  }
}

TEST_CASE("parallel_for covers the range once and rethrows", "[common][cpu]") {
  const int threads = max_threads();
  set_num_threads(3);
  std::vector<int> visits(1000, 0);
  parallel_for(1000, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
  });
  CHECK(visits == std::vector<int>(1000, 1));
  CHECK_THROWS_AS(
      parallel_for(1000, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("x"); }),
      std::runtime_error);
  set_num_threads(threads);
}

TEST_CASE("half rounds to nearest even and keeps its special values", "[common][cpu]") {
  CHECK(half_bits(1.0f) == 0x3c00);
  CHECK(half_bits(-2.0f) == 0xc000);
  CHECK(half_bits(2049.0f) == half_bits(2048.0f));  // ties to even, down
  CHECK(half_bits(2051.0f) == half_bits(2052.0f));  // ties to even, up
  CHECK(half_bits(65504.0f) == 0x7bff);
  CHECK(half_bits(65519.0f) == 0x7bff);
  CHECK(half_bits(65520.0f) == 0x7c00);
  CHECK(half_bits(std::numeric_limits<float>::infinity()) == 0x7c00);
  CHECK(half_bits(0x1p-24f) == 0x0001);
  CHECK(half_bits(0x1p-25f) == 0x0000);
  CHECK(half_bits(-0.0f) == 0x8000);
  CHECK(std::isnan(static_cast<float>(Half(std::nanf("")))));
}

TEST_CASE("every half survives the way through float", "[common][cpu]") {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    Half half;
    half.bits = static_cast<std::uint16_t>(bits);
    const float value = half;
    if (!std::isnan(value) && Half(value).bits != half.bits) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16 rounds to nearest even", "[common][cpu]") {
  CHECK(bf16_bits(1.0f) == 0x3f80);
  CHECK(bf16_bits(std::bit_cast<float>(0x3f808000u)) == 0x3f80);
  CHECK(bf16_bits(std::bit_cast<float>(0x3f818000u)) == 0x3f82);
  CHECK(bf16_bits(std::bit_cast<float>(0x3f808001u)) == 0x3f81);
  CHECK(bf16_bits(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("dtypes promote as in PyTorch", "[common][cpu]") {
  struct Case {
    DType a;
    DType b;
    DType result;
  };
  const Case cases[] = {
      {f32, f32, f32}, {f32, f64, f64},  {f16, bf16, f32},
      {f16, f32, f32}, {f16, i64, f16},  {boolean, u8, u8},
      {i8, u8, i32},   {i32, i64, i64},  {boolean, boolean, boolean},
      {i8, i32, i32},  {bf16, f64, f64}, {boolean, f32, f32},
  };
  for (const Case& test : cases) {
    INFO(name(test.a) << " with " << name(test.b));
    CHECK(promote(test.a, test.b) == test.result);
    CHECK(promote(test.b, test.a) == test.result);
  }
}

TEST_CASE("dtypes know their size and name", "[common][cpu]") {
  CHECK(size_of(bf16) == 2);
  CHECK(size_of(f64) == 8);
  CHECK(size_of(boolean) == 1);
  CHECK(std::string(name(boolean)) == "bool");
}

TEST_CASE("the allocator counts by tag and hands a freed block out again", "[common][cpu]") {
  Allocator& memory = allocator(cpu);
  const auto grads = [&] { return memory.stats()[MemoryTag::grad]; };
  const std::int64_t before = grads().current;
  memory.reset_peaks();
  void* first = memory.allocate(1000, MemoryTag::grad);
  CHECK(grads().current == before + 1000);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  memory.retag(1000, MemoryTag::grad, MemoryTag::param);
  CHECK(grads().current == before);
  CHECK(grads().peak == before + 1000);
  memory.deallocate(first, 1000, MemoryTag::param);

  const std::int64_t reserved = memory.stats().reserved;
  void* second = memory.allocate(1001, MemoryTag::grad);
  CHECK(second == first);
  CHECK(memory.stats().reserved == reserved);
  memory.deallocate(second, 1001, MemoryTag::grad);
  memory.empty_cache();
  CHECK(memory.stats().reserved < reserved);
}

TEST_CASE("buffers give their memory back, also after a move", "[common][cpu]") {
  const auto workspace = [] { return memory_stats()[MemoryTag::workspace].current; };
  const std::int64_t before = workspace();
  {
    Buffer a(allocator(cpu), 100, MemoryTag::workspace);
    Buffer b = std::move(a);
    CHECK(b.bytes() == 100);
    CHECK(workspace() == before + 100);
  }
  CHECK(workspace() == before);
}

TEST_CASE("no bytes need no memory", "[common][cpu]") {
  CHECK(Buffer(allocator(cpu), 0, MemoryTag::workspace).data() == nullptr);
}

TEST_CASE("devices are written cpu, cuda and cuda:N", "[common][cpu]") {
  CHECK(Device::parse("cpu") == cpu);
  CHECK(Device::parse("cuda") == Device{DeviceType::cuda, 0});
  CHECK(Device::parse("cuda:3") == Device{DeviceType::cuda, 3});
  CHECK(to_string(Device{DeviceType::cuda, 3}) == "cuda:3");
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"}) {
    INFO("'" << text << "'");
    CHECK_THROWS_WITH(Device::parse(text), Contains("unknown device"));
  }
}

TEST_CASE("an error takes context in front", "[common][cpu]") {
  Error error("conv2d: wrong shape");
  error.add_context("in features.3");
  CHECK(std::string(error.what()) == "in features.3: conv2d: wrong shape");
}
