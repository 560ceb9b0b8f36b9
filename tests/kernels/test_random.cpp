#include <cmath>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/common/philox.h"
#include "minidl/kernels/random.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

using Words = std::array<std::uint32_t, 4>;

// The numbers that the header promises for element i.
double expected_uniform(RandomKey key, std::int64_t i) {
  const auto index = static_cast<std::uint64_t>(i);
  return philox_uniform(philox4x32(key.seed, key.stream, index / 4)[index % 4]);
}

double expected_normal(RandomKey key, std::int64_t i) {
  const auto index = static_cast<std::uint64_t>(i);
  const Words words = philox4x32(key.seed, key.stream, index / 2);
  return philox_normal(words[index % 2 * 2], words[index % 2 * 2 + 1]);
}

constexpr RandomKey kKey{12345, 678};

// Of numbers from normal: a GPU has its own float log and cos.
double normal_tolerance(DType dtype) {
  return tolerance(test_device().is_cpu() ? dtype : f32, 2);
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double variance_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("philox4x32-10 gives the known answers of Random123", "[random]") {
  CHECK(philox4x32(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint64_t ones = ~std::uint64_t{0};
  CHECK(philox4x32(ones, ones, ones) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // Counter and key are the digits of pi.
  CHECK(philox4x32(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform draws word i % 4 of block i / 4 in every layout", "[random]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : edge_shapes()) {
      for (const Layout layout : kOutputLayouts) {
        const TestTensor out(dtype, shape, layout);
        uniform(ctx, kKey, -2, 3, out.view());
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          INFO(describe(out) << " element " << i);
          CHECK(close(out.get(i), -2 + 5 * expected_uniform(kKey, i), tolerance(dtype, 1)));
        }
      }
    }
  }
}

TEST_CASE("normal draws a pair of words per element in every layout", "[random]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : edge_shapes()) {
      for (const Layout layout : kOutputLayouts) {
        const TestTensor out(dtype, shape, layout);
        normal(ctx, kKey, 1, 0.5, out.view());
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          INFO(describe(out) << " element " << i);
          CHECK(close(out.get(i), 1 + 0.5 * expected_normal(kKey, i), normal_tolerance(dtype)));
        }
      }
    }
  }
}

TEST_CASE("uniform and dropout give the same bits on every device", "[random]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr double p = 0.3;
  const TestTensor x = TestTensor(f32, {kManyVectors}).fill(Draw(1, 2));
  const TestTensor out(f32, {kManyVectors});
  uniform(ctx, kKey, -0.1, 0.2, out.view());
  std::int64_t wrong = 0;
  const auto width = static_cast<float>(0.2 - -0.1);
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const volatile float product = width * static_cast<float>(expected_uniform(kKey, i));
    wrong += out.get(i) != -0.1f + product ? 1 : 0;
  }
  CHECK(wrong == 0);
  dropout(ctx, kKey, p, x.view(), out.view());
  const auto scale = static_cast<float>(1 / (1 - p));
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const float kept = static_cast<float>(x.get(i)) * scale;
    wrong += out.get(i) != (expected_uniform(kKey, i) >= p ? kept : 0.0f) ? 1 : 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("random numbers of any length at any address touch nothing else", "[random]") {
  ExecContext ctx = test_context();
  constexpr std::int64_t kWhole = kLongestCount + 32;
  for (const DType dtype : {f32, f64}) {
    for (const std::int64_t start : {0, 1, 2, 4}) {
      for (const std::int64_t count : kCounts) {
        const TestTensor numbers(dtype, {kWhole});
        uniform(ctx, kKey, 0, 1, window(numbers.view(), start, {count}));
        const TestTensor normals(dtype, {kWhole});
        normal(ctx, kKey, 0, 1, window(normals.view(), start, {count}));
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < kWhole; ++i) {
          const std::int64_t element = i - start;
          const bool inside = element >= 0 && element < count;
          const double u = inside ? expected_uniform(kKey, element) : 0;
          const double z = inside ? expected_normal(kKey, element) : 0;
          wrong +=
              numbers.get(i) != u || !close(normals.get(i), z, normal_tolerance(dtype)) ? 1 : 0;
        }
        INFO(count << " " << name(dtype) << " at " << start);
        if (wrong != 0) CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("random numbers follow the logical order of rows with gaps", "[random]") {
  ExecContext ctx = test_context();
  constexpr std::int64_t kRows = 5;
  for (const DType dtype : {f32, f64}) {
    for (const std::int64_t columns : {3, 4, 6, 8}) {
      for (const std::int64_t gap : {1, 4}) {
        const TestTensor whole(dtype, {kRows, columns + gap});
        View rows = whole.view();
        rows.shape = {kRows, columns};
        uniform(ctx, kKey, 0, 1, rows);
        std::vector<double> expected(static_cast<std::size_t>(whole.numel()), 0.0);
        for (std::int64_t i = 0; i < kRows * columns; ++i) {
          const std::int64_t at = i / columns * (columns + gap) + i % columns;
          expected[static_cast<std::size_t>(at)] = expected_uniform(kKey, i);
        }
        INFO(describe(rows));
        CHECK(whole.values() == expected);
      }
    }
  }
}

TEST_CASE("dropout keeps and scales where u >= p", "[random]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr double p = 0.3;
  for (const DType dtype : {f32, f64}) {
    for (const Layout in : kLayouts) {
      for (const Layout layout : kOutputLayouts) {
        const TestTensor x = TestTensor(dtype, {3, 5, 7}, in).fill(Draw(1, 2));
        const TestTensor out(dtype, {3, 5, 7}, layout);
        dropout(ctx, kKey, p, x.view(), out.view());
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          const double expected = expected_uniform(kKey, i) >= p ? x.get(i) / (1 - p) : 0;
          INFO(describe(x) << " into " << describe(out) << " element " << i);
          CHECK(close(out.get(i), expected, tolerance(dtype, expected)));
        }
      }
    }
  }
}

TEST_CASE("dropout of probability 0 copies, of 1 gives zeros even for NaN", "[random]") {
  ExecContext ctx = test_context();
  TestTensor x = TestTensor(f32, {9}).fill(Draw(1, 2));
  const TestTensor out(f32, {9});
  dropout(ctx, kKey, 0, x.view(), out.view());
  CHECK(out.values() == x.values());
  x.set(4, std::nan(""));
  dropout(ctx, kKey, 1, x.view(), out.view());
  CHECK(out.values() == std::vector<double>(9, 0.0));
}

TEST_CASE("random numbers do not depend on the number of threads", "[random][cpu]") {
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor one(f32, {20011});
  const TestTensor three(f32, {20011});
  set_num_threads(1);
  normal(ctx, kKey, 0, 1, one.view());
  set_num_threads(3);
  normal(ctx, kKey, 0, 1, three.view());
  set_num_threads(threads);
  CHECK(one.same_bits(three));
}

TEST_CASE("streams and seeds give different numbers", "[random]") {
  ExecContext ctx = test_context();
  const TestTensor base(f32, {16});
  const TestTensor other(f32, {16});
  uniform(ctx, {1, 1}, 0, 1, base.view());
  uniform(ctx, {1, 2}, 0, 1, other.view());
  CHECK_FALSE(base.same_bits(other));
  uniform(ctx, {2, 1}, 0, 1, other.view());
  CHECK_FALSE(base.same_bits(other));
}

TEST_CASE("the moments of 20000 numbers are right", "[random]") {
  ExecContext ctx = test_context();
  const TestTensor out(f32, {20000});
  uniform(ctx, kKey, 0, 1, out.view());
  CHECK(mean_of(out.values()) == Approx(0.5).margin(0.01));
  CHECK(variance_of(out.values()) == Approx(1.0 / 12).margin(0.003));
  normal(ctx, kKey, 0, 1, out.view());
  CHECK(mean_of(out.values()) == Approx(0).margin(0.03));
  CHECK(variance_of(out.values()) == Approx(1).margin(0.05));
}

TEST_CASE("a Philox sequence walks through the blocks of its stream", "[random]") {
  PhiloxSequence sequence(7, 9);
  for (std::uint64_t i = 0; i < 10; ++i) CHECK(sequence.next() == philox4x32(7, 9, i / 4)[i % 4]);
}

TEST_CASE("below stays below its bound and reaches every value", "[random]") {
  PhiloxSequence sequence(7, 9);
  std::array<int, 5> seen{};
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t value = sequence.below(5);
    REQUIRE(value < 5);
    ++seen[value];
  }
  CHECK(*std::min_element(seen.begin(), seen.end()) > 0);
}
