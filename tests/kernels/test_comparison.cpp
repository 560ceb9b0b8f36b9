#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/comparison.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr DType kAll[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

struct CompareCase {
  CompareOp op;
  bool (*reference)(double, double);
};

const CompareCase kCompare[] = {
    {CompareOp::eq, [](double a, double b) { return a == b; }},
    {CompareOp::ne, [](double a, double b) { return a != b; }},
    {CompareOp::lt, [](double a, double b) { return a < b; }},
    {CompareOp::le, [](double a, double b) { return a <= b; }},
    {CompareOp::gt, [](double a, double b) { return a > b; }},
    {CompareOp::ge, [](double a, double b) { return a >= b; }},
};

// Whole numbers of the dtype, some of them equal.
class DrawWhole {
 public:
  explicit DrawWhole(DType dtype) : draw_(dtype == u8 || dtype == boolean ? 0 : -3, 3) {}
  double operator()() { return std::trunc(draw_()); }

 private:
  Draw draw_;
};

bool compare_of(CompareOp op, double left, double right, DType dtype) {
  ExecContext ctx = test_context();
  TestTensor a(dtype, {});
  TestTensor b(dtype, {});
  const TestTensor out(boolean, {});
  a.set(0, left);
  b.set(0, right);
  compare(ctx, op, a.view(), b.view(), out.view());
  const bool result = out.get(0) != 0;
  compare_number(ctx, op, a.view(), right, out.view());
  CHECK((out.get(0) != 0) == result);
  return result;
}

bool is(NumberClass what, double value, DType dtype) {
  ExecContext ctx = test_context();
  TestTensor x(dtype, {});
  const TestTensor out(boolean, {});
  x.set(0, value);
  classify(ctx, what, x.view(), out.view());
  return out.get(0) != 0;
}

}  // namespace

TEST_CASE("comparisons in every layout and dtype", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const CompareCase& test : kCompare) {
    for (const DType dtype : kAll) {
      if (dtype == f16 || dtype == bf16) continue;
      for (const Shape& shape : edge_shapes()) {
        for (const Layout layout : kLayouts) {
          DrawWhole draw(dtype);
          const TestTensor a = TestTensor(dtype, shape, layout).fill([&] { return draw(); });
          const TestTensor b = TestTensor(dtype, shape).fill([&] { return draw(); });
          const bool sliced = layout == Layout::reversed;
          const TestTensor out(boolean, shape, sliced ? Layout::sliced : Layout::contiguous);
          INFO(name(test.op) << " of " << describe(a) << " into " << describe(out));
          compare(ctx, test.op, a.view(), b.view(), out.view());
          for (std::int64_t i = 0; i < out.numel(); ++i) {
            const bool expected = test.reference(a.get(i), b.get(i));
            if ((out.get(i) != 0) != expected) CHECK(out.get(i) == expected);
          }
          compare_number(ctx, test.op, a.view(), 1, out.view());
          for (std::int64_t i = 0; i < out.numel(); ++i) {
            const bool expected = test.reference(a.get(i), 1);
            if ((out.get(i) != 0) != expected) CHECK(out.get(i) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("comparisons of NaN, infinities and the largest integers", "[elementwise]") {
  for (const CompareCase& test : kCompare) {
    INFO(name(test.op));
    for (const DType dtype : {f32, f64}) {
      for (const double a : {kNan, -kInf, -0.0, 0.0, 1.0, kInf}) {
        for (const double b : {kNan, -kInf, -0.0, 0.0, 1.0, kInf}) {
          INFO(a << ", " << b);
          CHECK(compare_of(test.op, a, b, dtype) == test.reference(a, b));
        }
      }
    }
    for (const double a : {-2147483648.0, -1.0, 2147483647.0}) {
      for (const double b : {-2147483648.0, -1.0, 2147483647.0}) {
        CHECK(compare_of(test.op, a, b, i32) == test.reference(a, b));
      }
    }
  }
}

TEST_CASE("comparisons of any length at any address touch nothing else", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr std::int64_t kWhole = kLongestCount + 32;
  for (const DType dtype : {f32, f64, u8}) {
    DrawWhole draw(dtype);
    const TestTensor a = TestTensor(dtype, {kWhole}).fill([&] { return draw(); });
    const TestTensor b = TestTensor(dtype, {kWhole}).fill([&] { return draw(); });
    for (const std::int64_t start : {0, 1, 5}) {
      for (const std::int64_t count : kCounts) {
        const TestTensor out(boolean, {kWhole});
        compare(ctx, CompareOp::lt, window(a.view(), 0, {count}), window(b.view(), start, {count}),
                window(out.view(), start, {count}));
        std::vector<double> expected(kWhole, 0.0);
        for (std::int64_t i = 0; i < count; ++i) {
          expected[static_cast<std::size_t>(start + i)] = a.get(i) < b.get(start + i) ? 1 : 0;
        }
        INFO(count << " " << name(dtype) << " at " << start);
        if (out.values() != expected) CHECK(out.values() == expected);
      }
    }
  }
}

TEST_CASE("comparisons take 16-bit numbers, classes only floating-point ones", "[elementwise]") {
  for (const DType dtype : {f16, bf16}) {
    CHECK(compare_of(CompareOp::lt, 1, 2, dtype));
    CHECK(!compare_of(CompareOp::lt, 2, 2, dtype));
  }
  CHECK_THROWS_WITH(is(NumberClass::nan, 1, i32), Contains("isnan") && Contains("i32"));
}

TEST_CASE("NaN, infinities and finite numbers are told apart", "[elementwise]") {
  for (const DType dtype : {f32, f64}) {
    const double largest =
        dtype == f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    for (const double x : {kNan, -kInf, kInf, 0.0, -1.0, largest, -largest}) {
      INFO(x);
      CHECK(is(NumberClass::nan, x, dtype) == std::isnan(x));
      CHECK(is(NumberClass::inf, x, dtype) == std::isinf(x));
      CHECK(is(NumberClass::finite, x, dtype) == std::isfinite(x));
    }
  }
}

TEST_CASE("where and masked_fill choose in every layout and dtype", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : kAll) {
    for (const Shape& shape : edge_shapes()) {
      for (const Layout layout : kLayouts) {
        DrawWhole draw(dtype);
        DrawWhole coin(boolean);
        const TestTensor mask = TestTensor(boolean, shape).fill([&] { return coin(); });
        const TestTensor a = TestTensor(dtype, shape, layout).fill([&] { return draw(); });
        const TestTensor b = TestTensor(dtype, shape).fill([&] { return draw(); });
        const bool sliced = layout == Layout::reversed;
        const TestTensor out(dtype, shape, sliced ? Layout::sliced : Layout::contiguous);
        INFO(describe(a) << " into " << describe(out));
        where(ctx, mask.view(), a.view(), b.view(), out.view());
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          const double expected = mask.get(i) != 0 ? a.get(i) : b.get(i);
          if (out.get(i) != expected) CHECK(out.get(i) == expected);
        }
        for (const bool filled : {true, false}) {
          masked_fill(ctx, a.view(), mask.view(), filled, 1, out.view());
          for (std::int64_t i = 0; i < out.numel(); ++i) {
            const double expected = (mask.get(i) != 0) == filled ? 1 : a.get(i);
            if (out.get(i) != expected) CHECK(out.get(i) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("where takes a stretched condition and stretched choices", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape shape{6, 16};
  const Shape shapes[] = {{16}, {6, 1}, {}, {6, 16}};
  for (const Shape& condition : shapes) {
    for (const Shape& left : shapes) {
      for (const Shape& right : shapes) {
        DrawWhole coin(boolean);
        const TestTensor mask = TestTensor(boolean, condition).fill([&] { return coin(); });
        const TestTensor a = TestTensor(f32, left).fill(Draw(-9, 9));
        const TestTensor b = TestTensor(f32, right).fill(Draw(-9, 9));
        const TestTensor out(f32, shape);
        where(ctx, mask.view().broadcast_to(shape), a.view().broadcast_to(shape),
              b.view().broadcast_to(shape), out.view());
        const auto at = [](const TestTensor& x, std::int64_t row, std::int64_t column) {
          const Strides steps = broadcast_strides(x.geometry().shape,
                                                  contiguous_strides(x.geometry().shape), {6, 16});
          return x.get(row * steps[0] + column * steps[1]);
        };
        INFO(describe(mask) << ", " << describe(a) << ", " << describe(b));
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          const double expected =
              at(mask, i / 16, i % 16) != 0 ? at(a, i / 16, i % 16) : at(b, i / 16, i % 16);
          if (out.get(i) != expected) CHECK(out.get(i) == expected);
        }
      }
    }
  }
}
