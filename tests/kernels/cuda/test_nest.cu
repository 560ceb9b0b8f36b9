// Where the elements of a walk lie, by multiplication, against plain division.

#include <algorithm>
#include <random>
#include <vector>

#include "minidl/kernels/cuda/nest.cuh"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;
using cuda::DeviceNest;
using cuda::Divisor32;
using cuda::Divisor64;
using cuda::NestPiece;

namespace {

constexpr std::uint32_t kLargest = 0x7fffffff;  // that Divisor32 takes, as divisor and as dividend
using Offsets = std::array<std::int64_t, 2>;

// Powers of two and their neighbours, and a few at random.
std::vector<std::uint32_t> interesting_numbers(std::mt19937& engine) {
  std::vector<std::uint32_t> numbers{kLargest, kLargest - 1, 10, 641, 1000003};
  for (int bit = 0; bit < 31; ++bit) {
    for (const int near : {-1, 0, 1}) {
      numbers.push_back((std::uint32_t{1} << bit) + static_cast<std::uint32_t>(near));
    }
  }
  for (int i = 0; i < 200; ++i) {
    numbers.push_back(static_cast<std::uint32_t>(engine()) >> 1 >> engine() % 31);
  }
  return numbers;
}

// Up to six loops of random strides, some of them stretched or merged.
LoopNest<2> random_nest(std::mt19937& engine) {
  Shape shape;
  std::array<Strides, 2> strides;
  const int dims = static_cast<int>(engine() % 7);
  for (int i = 0; i < dims; ++i) {
    shape.push_back(1 + engine() % 5);
    for (Strides& operand : strides) operand.push_back(engine() % 9);
  }
  if (engine() % 2 == 0) strides[0] = contiguous_strides(shape);
  return {shape, strides};
}

// Every element of a nest, in the order of the walk.
std::vector<Offsets> walk(const LoopNest<2>& nest, const Offsets& starts = {}) {
  std::vector<Offsets> result;
  Dims index = Dims::filled(nest.extents.size(), 0);
  for (std::int64_t i = 0; i < numel(nest.extents); ++i) {
    Offsets at = starts;
    for (int loop = 0; loop < index.size(); ++loop) {
      for (std::size_t n = 0; n < 2; ++n) at[n] += index[loop] * nest.strides[n][loop];
    }
    result.push_back(at);
    for (int loop = index.size() - 1; loop >= 0; --loop) {
      if (++index[loop] < nest.extents[loop]) break;
      index[loop] = 0;
    }
  }
  return result;
}

template <class Index>
std::vector<Offsets> locate_all(const LoopNest<2>& nest) {
  const DeviceNest<2, Index> device_nest(nest);
  std::vector<Offsets> result;
  for (std::int64_t i = 0; i < numel(nest.extents); ++i) {
    std::int64_t offsets[2];
    device_nest.locate(static_cast<Index>(i), offsets);
    result.push_back({offsets[0], offsets[1]});
  }
  return result;
}

std::size_t index_bytes(const Shape& shape) {
  std::size_t bytes = 0;
  cuda::visit_nest(LoopNest<1>(shape, {contiguous_strides(shape)}),
                   [&]<class Index>(const DeviceNest<1, Index>&) { bytes = sizeof(Index); });
  return bytes;
}

}  // namespace

TEST_CASE("a divisor by multiplication divides everything below 2^31", "[nest][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  std::mt19937 engine(test_seed());
  const std::vector<std::uint32_t> numbers = interesting_numbers(engine);
  for (const std::uint32_t divisor : numbers) {
    if (divisor == 0) continue;
    const Divisor32 fast(divisor);
    const auto check = [&](std::uint32_t n) {
      if (n > kLargest || fast.divide(n) == n / divisor) return;
      INFO(n << " / " << divisor);
      CHECK(fast.divide(n) == n / divisor);
    };
    for (const std::uint32_t n : numbers) check(n);
    for (const std::uint32_t near : {divisor - 1, divisor, divisor + 1}) check(near);
    const std::uint32_t multiple = kLargest / divisor * divisor;
    for (const std::uint32_t near : {multiple - 1, multiple, multiple + 1}) check(near);
    for (int i = 0; i < 100; ++i) check(static_cast<std::uint32_t>(engine()) >> 1);
  }
}

TEST_CASE("a wide divisor divides", "[nest][cpu]") {
  CHECK(Divisor64(10).divide(std::uint64_t{1} << 40) == (std::uint64_t{1} << 40) / 10);
  CHECK(Divisor64(std::uint64_t{1} << 33).divide((std::uint64_t{1} << 40) + 5) == 128);
}

TEST_CASE("a device nest locates what a loop over the nest visits", "[nest][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  std::mt19937 engine(test_seed());
  for (int i = 0; i < 300; ++i) {
    const LoopNest<2> nest = random_nest(engine);
    const std::vector<Offsets> expected = walk(nest);
    INFO("loops of " << to_string(nest.extents));
    CHECK(locate_all<std::uint32_t>(nest) == expected);
    CHECK(locate_all<std::uint64_t>(nest) == expected);
    std::vector<Offsets> rows;
    for (std::int64_t outer = 0; outer < nest.outer_extent(); ++outer) {
      const Offsets start = nest.offsets(outer);
      for (std::int64_t k = 0; k < nest.inner_extent(); ++k) {
        rows.push_back({start[0] + k * nest.inner_stride(0), start[1] + k * nest.inner_stride(1)});
      }
    }
    CHECK(rows == expected);
  }
}

TEST_CASE("a device nest locates the last of 2^31 - 1 elements, and those beyond", "[nest][cpu]") {
  const Shape shape{7, 3, 102261126};  // 2^31 - 2
  const Strides strides{1, 7, 21};
  const DeviceNest<1, std::uint32_t> nest(LoopNest<1>(shape, {contiguous_strides(shape)}));
  std::int64_t offsets[1];
  nest.locate(2147483645, offsets);
  CHECK(offsets[0] == 2147483645);
  const LoopNest<2> transposed(shape, {contiguous_strides(shape), strides});
  std::int64_t both[2];
  DeviceNest<2, std::uint32_t>(transposed).locate(2147483645, both);
  CHECK(both[1] == 2147483645);
  const Shape large{3, std::int64_t{1} << 31, 5};
  const LoopNest<2> wide(large, {contiguous_strides(large), Strides{1, 3, 0}});
  DeviceNest<2, std::uint64_t>(wide).locate(static_cast<std::uint64_t>(numel(large) - 1), both);
  CHECK(both[0] == numel(large) - 1);
  CHECK(both[1] == 2 + ((std::int64_t{1} << 31) - 1) * 3);
}

TEST_CASE("nests of up to 2^31 - 1 elements count in 32 bits", "[nest][cpu]") {
  CHECK(index_bytes({0x7fffffff}) == 4);
  CHECK(index_bytes({std::int64_t{1} << 31}) == 8);
  CHECK(index_bytes({0}) == 4);
}

TEST_CASE("the pieces of a nest are small and make up the whole", "[nest][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  std::mt19937 engine(test_seed());
  for (int i = 0; i < 100; ++i) {
    const LoopNest<2> nest = random_nest(engine);
    std::vector<Offsets> whole = walk(nest);
    std::sort(whole.begin(), whole.end());
    for (const std::int64_t most : {1, 7, 40, 100000}) {
      std::vector<Offsets> visited;
      cuda::for_each_piece(
          NestPiece<2>{nest},
          [&](const NestPiece<2>& piece) {
            CHECK(numel(piece.nest.extents) <= most);
            for (const Offsets& at : walk(piece.nest, piece.starts)) visited.push_back(at);
          },
          most);
      std::sort(visited.begin(), visited.end());
      INFO("loops of " << to_string(nest.extents) << " in pieces of " << most);
      CHECK(visited == whole);
    }
  }
}

TEST_CASE("the pieces of a dense walk stay aligned to the longest vector", "[nest][cpu]") {
  const LoopNest<1> nest({1009}, {Strides{1}});
  std::int64_t elements = 0;
  cuda::for_each_piece(
      NestPiece<1>{nest},
      [&](const NestPiece<1>& piece) {
        CHECK(piece.starts[0] % 16 == 0);
        elements += numel(piece.nest.extents);
      },
      100);
  CHECK(elements == 1009);
}
