#include <cmath>
#include <limits>

#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/copy.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr DType kDTypes[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

// Small whole numbers: every dtype but bool holds them exactly.
double expected_copy(double value, DType to) {
  return to == boolean ? value != 0 : value;
}

void check_copy(const TestTensor& src, TestTensor dst) {
  ExecContext ctx = test_context();
  copy(ctx, src.view(), dst.view());
  for (std::int64_t i = 0; i < src.numel(); ++i) {
    const double expected = expected_copy(src.get(i), dst.geometry().dtype);
    INFO(describe(src) << " to " << describe(dst) << " element " << i);
    if (dst.get(i) != expected) CHECK(dst.get(i) == expected);
  }
}

}  // namespace

TEST_CASE("copy converts between all pairs of dtypes in every layout", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(0, 4);
  for (const DType from : kDTypes) {
    for (const DType to : kDTypes) {
      for (const Layout in : kLayouts) {
        const TestTensor src =
            TestTensor(from, {3, 2, 11}, in).fill([&] { return std::floor(draw()); });
        for (const Layout out : kOutputLayouts) check_copy(src, TestTensor(to, {3, 2, 11}, out));
      }
    }
  }
}

TEST_CASE("copy handles scalars, empty tensors and dimensions of one", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const Shape& shape : edge_shapes()) {
    for (const Layout in : kLayouts) {
      const TestTensor src = TestTensor(f32, shape, in).fill(Draw(-9, 9));
      for (const Layout out : kOutputLayouts) check_copy(src, TestTensor(f32, shape, out));
    }
  }
}

TEST_CASE("copy to a sliced tensor leaves the gaps alone", "[copy]") {
  ExecContext ctx = test_context();
  const TestTensor src = TestTensor(f32, {4}).fill([] { return 7.0; });
  TestTensor whole(f32, {8});
  View every_other = whole.view();
  every_other.shape = {4};
  every_other.strides = {2};
  copy(ctx, src.view(), every_other);
  CHECK(whole.values() == std::vector<double>{7, 0, 7, 0, 7, 0, 7, 0});
}

TEST_CASE("copy reads backwards where a stride is negative", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape shape{3, 4, 67};
  for (const DType to : {f32, f64}) {
    for (const Layout in : {Layout::contiguous, Layout::reversed, Layout::sliced}) {
      for (int flipped = 1; flipped < 8; ++flipped) {  // bit i: dimension i
        const TestTensor src = TestTensor(f32, shape, in).fill(Draw(-9, 9));
        const TestTensor dst(to, shape, in);
        View backwards = src.view();
        for (int dim = 0; dim < 3; ++dim) {
          if ((flipped >> dim & 1) == 0) continue;
          const std::int64_t last = (shape[dim] - 1) * backwards.strides[dim];
          backwards.data = backwards.ptr<float>() + last;
          backwards.strides[dim] *= -1;
        }
        copy(ctx, backwards, dst.view());
        std::vector<double> expected;
        for (std::int64_t i = 0; i < src.numel(); ++i) {
          std::int64_t from = 0;
          std::int64_t rest = i;
          std::int64_t step = 1;
          for (int dim = 2; dim >= 0; --dim) {
            const std::int64_t at = rest % shape[dim];
            from += step * ((flipped >> dim & 1) == 0 ? at : shape[dim] - 1 - at);
            step *= shape[dim];
            rest /= shape[dim];
          }
          expected.push_back(src.get(from));
        }
        INFO(describe(src) << " to " << describe(dst) << ", flipped " << flipped);
        CHECK(dst.values() == expected);
      }
    }
  }
}

TEST_CASE("copy of any length at any address touches nothing else", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr std::pair<DType, DType> kPairs[] = {{u8, u8},   {bf16, bf16}, {f32, f32},    {f64, f64},
                                                {f32, f16}, {u8, f64},    {f64, boolean}};
  constexpr std::pair<int, int> kStarts[] = {{0, 0}, {1, 0}, {0, 1}, {3, 3}, {16, 16}};
  constexpr std::int64_t kWhole = kLongestCount + 32;
  for (const auto& [from, to] : kPairs) {
    const TestTensor src = TestTensor(from, {kWhole}).fill(Draw(0, 9));
    for (const auto& [from_start, to_start] : kStarts) {
      for (const std::int64_t count : kCounts) {
        const TestTensor dst(to, {kWhole});
        copy(ctx, window(src.view(), from_start, {count}), window(dst.view(), to_start, {count}));
        std::vector<double> expected(kWhole, 0.0);
        for (std::int64_t i = 0; i < count; ++i) {
          const double value = src.get(from_start + i);
          expected[static_cast<std::size_t>(to_start + i)] =
              to == f16 ? double{Half(static_cast<float>(value))} : expected_copy(value, to);
        }
        INFO(count << " " << name(from) << " at " << from_start << " to " << name(to) << " at "
                   << to_start);
        if (dst.values() != expected) CHECK(dst.values() == expected);
      }
    }
  }
}

TEST_CASE("copy of rows with gaps, aligned and not", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr std::int64_t kRows = 5;
  for (const DType dtype : {u8, f32, f64}) {
    for (const std::int64_t columns : {3, 8, 16}) {
      for (const std::int64_t gap : {0, 1, 4, 16}) {
        const TestTensor src = TestTensor(dtype, {kRows, columns + gap}).fill(Draw(0, 9));
        const TestTensor dst(dtype, {kRows, columns});
        View rows = src.view();
        rows.shape = {kRows, columns};
        copy(ctx, rows, dst.view());
        std::vector<double> expected;
        for (std::int64_t i = 0; i < kRows * columns; ++i) {
          expected.push_back(src.get(i / columns * (columns + gap) + i % columns));
        }
        INFO(describe(rows));
        CHECK(dst.values() == expected);
      }
    }
  }
}

TEST_CASE("copy of more elements than there are threads", "[copy]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Layout layout : {Layout::contiguous, Layout::sliced}) {
    const std::int64_t count = layout == Layout::contiguous ? kManyVectors : kManyElements;
    const TestTensor src = TestTensor(f32, {count}, layout).fill(Draw(-9, 9));
    const TestTensor dst(f32, {count});
    copy(ctx, src.view(), dst.view());
    INFO(describe(src));
    CHECK((src.values() == dst.values()));  // in brackets: nobody prints millions of numbers
  }
}

TEST_CASE("conversion to integers truncates, saturates and turns NaN into 0", "[copy]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(convert<std::int32_t>(2.9f) == 2);
  CHECK(convert<std::int32_t>(-2.9f) == -2);
  CHECK(convert<std::int32_t>(nan) == 0);
  CHECK(convert<std::int32_t>(3e9f) == 2147483647);
  CHECK(convert<std::int32_t>(-inf) == std::numeric_limits<std::int32_t>::min());
  CHECK(convert<std::int64_t>(inf) == std::numeric_limits<std::int64_t>::max());
  CHECK(convert<std::int64_t>(-1e300) == std::numeric_limits<std::int64_t>::min());
  CHECK(convert<std::uint8_t>(-0.5f) == 0);
  CHECK(convert<std::uint8_t>(255.9f) == 255);
  CHECK(convert<std::uint8_t>(256.0) == 255);
  CHECK(convert<std::int8_t>(-128.7) == -128);
  CHECK(convert<std::int8_t>(Half(1000.0f)) == 127);
  CHECK(convert<std::int8_t>(std::int32_t{257}) == 1);
}

TEST_CASE("conversion to bool asks for zero", "[copy]") {
  CHECK(convert<bool>(0.25f));
  CHECK(convert<bool>(std::numeric_limits<double>::quiet_NaN()));
  CHECK(convert<bool>(BFloat16(-1.0f)));
  CHECK_FALSE(convert<bool>(-0.0f));
  CHECK_FALSE(convert<bool>(std::int64_t{0}));
}

TEST_CASE("fill writes every element and nothing else", "[copy]") {
  ExecContext ctx = test_context();
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : edge_shapes()) {
      for (const Layout layout : kOutputLayouts) {
        TestTensor dst(dtype, shape, layout);
        fill(ctx, dst.view(), 3);
        const std::vector<double> expected(static_cast<std::size_t>(dst.numel()),
                                           expected_copy(3, dtype));
        INFO(describe(dst));
        CHECK(dst.values() == expected);
      }
    }
  }
}

TEST_CASE("fill of any length at any address touches nothing else", "[copy]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {u8, f16, f32, f64}) {
    for (const std::int64_t start : {0, 1, 3, 16}) {
      for (const std::int64_t count : kCounts) {
        const TestTensor dst(dtype, {kLongestCount + 32});
        fill(ctx, window(dst.view(), start, {count}), 3);
        std::vector<double> expected(kLongestCount + 32, 0.0);
        std::fill_n(expected.begin() + start, count, 3.0);
        INFO(count << " " << name(dtype) << " at " << start);
        if (dst.values() != expected) CHECK(dst.values() == expected);
      }
    }
  }
}

TEST_CASE("arange rounds after the product and after the sum", "[copy]") {
  ExecContext ctx = test_context();
  constexpr std::int64_t kCount = 1000;
  for (const DType dtype : {f32, f64, i32}) {
    const TestTensor dst(dtype, {kCount});
    arange(ctx, dst.view(), 0.7, 0.1);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < kCount; ++i) {
      const volatile double product = static_cast<double>(i) * 0.1;
      const double value = 0.7 + product;
      expected.push_back(dtype == f64   ? value
                         : dtype == f32 ? static_cast<float>(value)
                                        : std::trunc(value));
    }
    INFO(name(dtype));
    CHECK(dst.values() == expected);
  }
}

TEST_CASE("arange counts in steps", "[copy]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64, i8, u8, i32, i64}) {
    for (const Layout layout : kOutputLayouts) {
      TestTensor dst(dtype, {5}, layout);
      arange(ctx, dst.view(), 2, 3);
      INFO(describe(dst));
      CHECK(dst.values() == std::vector<double>{2, 5, 8, 11, 14});
    }
  }
}

TEST_CASE("arange refuses bool and the 16-bit types", "[copy]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {f16, bf16, boolean}) {
    const TestTensor dst(dtype, {5});
    CHECK_THROWS_WITH(arange(ctx, dst.view(), 0, 1), Contains("arange") && Contains(name(dtype)));
  }
}
