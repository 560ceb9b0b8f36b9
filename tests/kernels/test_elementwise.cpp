#include <cmath>
#include <limits>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

struct BinaryCase {
  BinaryOp op;
  double (*reference)(double, double);
  bool integers;
};

const BinaryCase kBinary[] = {
    {BinaryOp::add, [](double a, double b) { return a + b; }, true},
    {BinaryOp::sub, [](double a, double b) { return a - b; }, true},
    {BinaryOp::mul, [](double a, double b) { return a * b; }, true},
    {BinaryOp::div, [](double a, double b) { return a / b; }, false},
    {BinaryOp::floor_divide, [](double a, double b) { return std::floor(a / b); }, true},
    {BinaryOp::remainder, [](double a, double b) { return a - b * std::floor(a / b); }, true},
    {BinaryOp::pow, [](double a, double b) { return std::pow(a, b); }, false},
    {BinaryOp::maximum, [](double a, double b) { return a > b ? a : b; }, true},
    {BinaryOp::minimum, [](double a, double b) { return a < b ? a : b; }, true},
    {BinaryOp::select_greater, [](double g, double d) { return d > 0 ? g : 0; }, false},
};

void check_binary(const BinaryCase& test, DType dtype, const Shape& shape, Layout left,
                  Layout right, Layout layout) {
  ExecContext ctx = test_context();
  Draw draw(-9, 9);
  const TestTensor a = TestTensor(dtype, shape, left).fill([&] { return draw(); });
  const TestTensor b = TestTensor(dtype, shape, right).fill([&] {
    const double value = draw();
    return std::abs(value) < 1 ? value + 2 : value;  // no integer is 0
  });
  TestTensor out(dtype, shape, layout);
  binary(ctx, test.op, a.view(), b.view(), out.view());
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const double expected = test.reference(a.get(i), b.get(i));
    INFO(name(test.op) << " of " << describe(a) << " and " << describe(b) << " element " << i
                       << ": " << a.get(i) << ", " << b.get(i));
    if (!close(out.get(i), expected, 100 * tolerance(dtype, expected))) {
      CHECK(out.get(i) == expected);
    }
  }
}

double binary_of(BinaryOp op, double left, double right, DType dtype = f32) {
  ExecContext ctx = test_context();
  TestTensor a(dtype, {});
  TestTensor b(dtype, {});
  a.set(0, left);
  b.set(0, right);
  binary(ctx, op, a.view(), b.view(), a.view());
  return a.get(0);
}

}  // namespace

TEST_CASE("binary operations agree with double precision in every layout", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const BinaryCase& test : kBinary) {
    for (const DType dtype : {f32, f64, i32, i64}) {
      if (!is_floating_point(dtype) && !test.integers) continue;
      for (const Shape& shape : edge_shapes()) {
        for (const Layout left : kLayouts) {
          for (const Layout right : kLayouts) {
            check_binary(test, dtype, shape, left, right, Layout::contiguous);
          }
        }
        check_binary(test, dtype, shape, Layout::contiguous, Layout::stretched, Layout::sliced);
      }
    }
  }
}

TEST_CASE("a binary operation takes a scalar stretched along a dense row", "[elementwise]") {
  ExecContext ctx = test_context();
  const TestTensor row = TestTensor(f32, {37}).fill(Draw(-1, 1));
  const TestTensor scalar = TestTensor(f32, {37}, Layout::stretched).fill(Draw(2, 3));
  TestTensor out(f32, {37});
  const bool scalar_first = GENERATE(false, true);
  const TestTensor& a = scalar_first ? scalar : row;
  const TestTensor& b = scalar_first ? row : scalar;
  binary(ctx, BinaryOp::sub, a.view(), b.view(), out.view());
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    CHECK(out.get(i) == static_cast<float>(a.get(i) - b.get(i)));
  }
}

TEST_CASE("binary operations stretch rows, columns and single elements", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Shape& shape : {Shape{6, 8}, Shape{6, 7}, Shape{3, 4, 16}, Shape{2, 2, 5, 6}}) {
    const Shape row{shape.back()};
    Shape column = shape;
    column.back() = 1;
    Shape outer = Dims::filled(shape.size(), 1);
    outer[0] = shape[0];
    for (const Shape& small : {row, column, outer, Shape{}}) {
      for (const DType dtype : {f32, f64, i32}) {
        const TestTensor a = TestTensor(dtype, shape).fill(Draw(-9, 9));
        const TestTensor b = TestTensor(dtype, small).fill(Draw(-9, 9));
        const TestTensor b_whole(dtype, shape);
        copy(ctx, b.view().broadcast_to(shape), b_whole.view());
        const TestTensor left(dtype, shape);
        const TestTensor right(dtype, shape);
        binary(ctx, BinaryOp::sub, a.view(), b.view().broadcast_to(shape), left.view());
        binary(ctx, BinaryOp::sub, b.view().broadcast_to(shape), a.view(), right.view());
        INFO(describe(a) << " and " << describe(b));
        for (std::int64_t i = 0; i < a.numel(); ++i) {
          const double expected = a.get(i) - b_whole.get(i);
          if (!close(left.get(i), expected, tolerance(dtype, 18))) {
            CHECK(left.get(i) == expected);
          }
          if (right.get(i) != -left.get(i)) CHECK(right.get(i) == -left.get(i));
        }
      }
    }
  }
}

TEST_CASE("binary operations of any length at any address touch nothing else", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr std::int64_t kWhole = kLongestCount + 32;
  struct Starts {
    std::int64_t a, b, out;
  };
  constexpr Starts kStarts[] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {3, 3, 3}};
  for (const DType dtype : {f32, f64, i64}) {
    const TestTensor a = TestTensor(dtype, {kWhole}).fill(Draw(1, 9));
    const TestTensor b = TestTensor(dtype, {kWhole}).fill(Draw(1, 9));
    for (const Starts& at : kStarts) {
      for (const std::int64_t count : kCounts) {
        const TestTensor out(dtype, {kWhole});
        binary(ctx, BinaryOp::maximum, window(a.view(), at.a, {count}),
               window(b.view(), at.b, {count}), window(out.view(), at.out, {count}));
        std::vector<double> expected(kWhole, 0.0);
        for (std::int64_t i = 0; i < count; ++i) {
          expected[static_cast<std::size_t>(at.out + i)] =
              std::max(a.get(at.a + i), b.get(at.b + i));
        }
        INFO(count << " " << name(dtype) << " at " << at.a << ", " << at.b << ", " << at.out);
        if (out.values() != expected) CHECK(out.values() == expected);
      }
    }
  }
}

TEST_CASE("elementwise operations reach every element once", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Layout layout : {Layout::contiguous, Layout::sliced}) {
    const std::int64_t count = layout == Layout::contiguous ? kManyVectors : kManyElements;
    const TestTensor x = TestTensor(i32, {count}, layout).fill(Draw(-99, 99));
    TestTensor y = x;
    axpy(ctx, 2, x.view(), y.view());  // in place: a second time would show
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < count; ++i) wrong += y.get(i) != 3 * x.get(i) ? 1 : 0;
    INFO(describe(x));
    CHECK(wrong == 0);
  }
}

TEST_CASE("elementwise operations work in place", "[elementwise]") {
  ExecContext ctx = test_context();
  for (const Layout layout : kOutputLayouts) {
    TestTensor x = TestTensor(f32, {5, 33}, layout).fill(Draw(-1, 1));
    const std::vector<double> before = x.values();
    binary(ctx, BinaryOp::add, x.view(), x.view(), x.view());
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      CHECK(x.get(i) == 2 * before[static_cast<std::size_t>(i)]);
    }
  }
}

TEST_CASE("maximum and minimum keep NaN", "[elementwise]") {
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
    INFO(name(op));
    CHECK(std::isnan(binary_of(op, kNan, 1)));
    CHECK(std::isnan(binary_of(op, 1, kNan)));
  }
}

TEST_CASE("equal elements share the gradient of their maximum", "[elementwise]") {
  CHECK(binary_of(BinaryOp::select_greater, 3, 0) == 1.5);
  CHECK(binary_of(BinaryOp::select_greater, 3, -1) == 0);
}

TEST_CASE("floor_divide and remainder round towards minus infinity", "[elementwise]") {
  struct Row {
    double a, b, quotient, rest;
  };
  constexpr Row kRows[] = {{7, 3, 2, 1},   {-7, 3, -3, 2}, {7, -3, -3, -2}, {-7, -3, 2, -1},
                           {6, 3, 2, 0},   {-6, 3, -2, 0}, {0, -3, 0, 0},   {2, 3, 0, 2},
                           {-2, 3, -1, 1}, {5, -1, -5, 0}};
  for (const DType dtype : {f32, f64, i32, i64}) {
    for (const Row& row : kRows) {
      INFO(name(dtype) << " " << row.a << " by " << row.b);
      CHECK(binary_of(BinaryOp::floor_divide, row.a, row.b, dtype) == row.quotient);
      CHECK(binary_of(BinaryOp::remainder, row.a, row.b, dtype) == row.rest);
    }
  }
  for (const DType dtype : {f32, f64}) {
    CHECK(binary_of(BinaryOp::floor_divide, -1, kInf, dtype) == -1);
    CHECK(binary_of(BinaryOp::remainder, -1, kInf, dtype) == kInf);
    CHECK(binary_of(BinaryOp::floor_divide, 1, 0, dtype) == kInf);
    CHECK(std::isnan(binary_of(BinaryOp::remainder, 1, 0, dtype)));
    CHECK(binary_of(BinaryOp::floor_divide, 5.5, -2, dtype) == -3);
    CHECK(binary_of(BinaryOp::remainder, 5.5, -2, dtype) == -0.5);
  }
}

TEST_CASE("an integer divided by 0 is an error", "[elementwise]") {
  for (const BinaryOp op : {BinaryOp::floor_divide, BinaryOp::remainder}) {
    for (const DType dtype : {i32, i64}) {
      CHECK_THROWS_WITH(binary_of(op, 7, 0, dtype),
                        Contains(name(op)) && Contains("divided by 0") && Contains("f32"));
      CHECK(binary_of(op, 7, 4, dtype) == (op == BinaryOp::remainder ? 3 : 1));
    }
  }
}

TEST_CASE("integers to the power of integers", "[elementwise]") {
  struct Row {
    double a, b, power;
  };
  constexpr Row kRows[] = {{3, 4, 81},  {-3, 3, -27}, {-2, 10, 1024}, {0, 0, 1},
                           {5, 0, 1},   {2, -1, 0},   {1, -5, 1},     {-1, -5, -1},
                           {-1, -4, 1}, {0, -2, 0},   {7, 1, 7}};
  for (const DType dtype : {i32, i64}) {
    for (const Row& row : kRows) {
      INFO(name(dtype) << " " << row.a << " to the " << row.b);
      CHECK(binary_of(BinaryOp::pow, row.a, row.b, dtype) == row.power);
    }
  }
}

TEST_CASE("bitwise operations of integers and bool in every layout", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  struct Row {
    BinaryOp op;
    std::int64_t (*reference)(std::int64_t, std::int64_t);
  };
  constexpr Row kRows[] = {
      {BinaryOp::bitwise_and, [](std::int64_t a, std::int64_t b) { return a & b; }},
      {BinaryOp::bitwise_or, [](std::int64_t a, std::int64_t b) { return a | b; }},
      {BinaryOp::bitwise_xor, [](std::int64_t a, std::int64_t b) { return a ^ b; }},
  };
  for (const Row& row : kRows) {
    for (const DType dtype : {boolean, u8, i8, i32, i64}) {
      Draw draw(dtype == boolean || dtype == u8 ? 0 : -100, dtype == boolean ? 1.99 : 100);
      const auto whole = [&] { return std::trunc(draw()); };
      for (const Layout layout : kLayouts) {
        const TestTensor a = TestTensor(dtype, {3, 41}, layout).fill(whole);
        const TestTensor b = TestTensor(dtype, {3, 41}).fill(whole);
        const TestTensor out(dtype, {3, 41});
        binary(ctx, row.op, a.view(), b.view(), out.view());
        INFO(name(row.op) << " of " << describe(a));
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          const auto left = static_cast<std::int64_t>(a.get(i));
          const auto right = static_cast<std::int64_t>(b.get(i));
          CHECK(out.get(i) == static_cast<double>(row.reference(left, right)));
        }
      }
    }
  }
}

TEST_CASE("integers wrap around", "[elementwise]") {
  const double lowest = -2147483648.0;
  CHECK(binary_of(BinaryOp::add, 2147483647, 1, i32) == lowest);
  CHECK(binary_of(BinaryOp::mul, 65536, 65536, i32) == 0);
  CHECK(binary_of(BinaryOp::pow, 65536, 2, i32) == 0);
  CHECK(binary_of(BinaryOp::floor_divide, lowest, -1, i32) == lowest);
  CHECK(binary_of(BinaryOp::remainder, lowest, -1, i32) == 0);
}

TEST_CASE("operations refuse dtypes they do not have, naming both", "[elementwise]") {
  CHECK_THROWS_WITH(binary_of(BinaryOp::div, 1, 2, i32), Contains("div") && Contains("i32"));
  CHECK_THROWS_WITH(binary_of(BinaryOp::add, 1, 2, u8), Contains("add") && Contains("u8"));
  CHECK_THROWS_WITH(binary_of(BinaryOp::bitwise_or, 1, 2, f32),
                    Contains("bitwise_or") && Contains("f32"));
}

TEST_CASE("affine computes alpha * x + beta in the dtype of x", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64, i32, i64}) {
    for (const Layout layout : kLayouts) {
      const TestTensor x = TestTensor(dtype, {3, 19}, layout).fill(Draw(-9, 9));
      TestTensor out(dtype, {3, 19});
      affine(ctx, x.view(), 3, -2, out.view());
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        const double expected = 3 * x.get(i) - 2;
        INFO(describe(x));
        CHECK(close(out.get(i), expected, tolerance(dtype, expected)));
      }
    }
  }
}

TEST_CASE("power agrees with std::pow", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const double exponent : {-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1.7}) {
      const TestTensor x = TestTensor(dtype, {3, 19}, Layout::reversed).fill(Draw(0.1, 5));
      TestTensor out(dtype, {3, 19});
      power(ctx, x.view(), exponent, out.view());
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        const double expected = std::pow(x.get(i), exponent);
        INFO(name(dtype) << " " << x.get(i) << " ^ " << exponent);
        CHECK(close(out.get(i), expected, tolerance(dtype, expected)));
      }
    }
  }
}

TEST_CASE("axpy adds a stretched operand in place", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const Layout layout : kLayouts) {
      const TestTensor x = TestTensor(dtype, {3, 19}, layout).fill(Draw(-1, 1));
      const TestTensor start = TestTensor(dtype, {3, 19}).fill(Draw(-1, 1));
      TestTensor y = start;
      axpy(ctx, 0.5, x.view(), y.view());
      for (std::int64_t i = 0; i < y.numel(); ++i) {
        INFO(describe(x));
        CHECK(close(y.get(i), start.get(i) + 0.5 * x.get(i), tolerance(dtype, 1)));
      }
    }
  }
}

TEST_CASE("elementwise results do not depend on the number of threads", "[elementwise][cpu]") {
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {100003}).fill(Draw(-3, 3));
  TestTensor one(f32, {100003});
  TestTensor three(f32, {100003});
  set_num_threads(1);
  unary(ctx, UnaryOp::tanh, x.view(), one.view());
  set_num_threads(3);
  unary(ctx, UnaryOp::tanh, x.view(), three.view());
  set_num_threads(threads);
  CHECK(one.same_bits(three));
}

TEST_CASE("a build without CUDA says so", "[elementwise][cpu]") {
  if (why_not_cuda().find("no CUDA support") == std::string::npos) return;  // it has
  ExecContext ctx{{DeviceType::cuda, 0}};
  const TestTensor x(f32, {1});
  CHECK_THROWS_WITH(unary(ctx, UnaryOp::relu, x.view(), x.view()),
                    Contains("relu") && Contains("no CUDA support"));
}
