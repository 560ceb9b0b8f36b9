#include <cmath>
#include <limits>
#include <numbers>

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

// The standard normal distribution, accurate in its tail, and its density.
double normal_cdf(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}
double normal_density(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
}

// What stands in for it in gelu_tanh, and its slope.
double tanh_cdf(double x) {
  return (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))) / 2;
}
double tanh_density(double x) {
  const double inner_slope = std::sqrt(2 / std::numbers::pi) * (1 + 3 * 0.044715 * x * x);
  return 2 * tanh_cdf(x) * (1 - tanh_cdf(x)) * inner_slope;
}

struct UnaryCase {
  UnaryOp op;
  double (*reference)(double);
  double low;
  bool integers;
};

const UnaryCase kUnary[] = {
    {UnaryOp::neg, [](double x) { return -x; }, -9, true},
    {UnaryOp::abs, [](double x) { return std::fabs(x); }, -9, true},
    {UnaryOp::exp, [](double x) { return std::exp(x); }, -9, false},
    {UnaryOp::log, [](double x) { return std::log(x); }, 0.1, false},
    {UnaryOp::sqrt, [](double x) { return std::sqrt(x); }, 0, false},
    {UnaryOp::relu, [](double x) { return x > 0 ? x : 0; }, -9, true},
    {UnaryOp::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -9, false},
    {UnaryOp::tanh, [](double x) { return std::tanh(x); }, -9, false},
    {UnaryOp::erf, [](double x) { return std::erf(x); }, -9, false},
    {UnaryOp::gelu, [](double x) { return x * normal_cdf(x); }, -9, false},
    {UnaryOp::gelu_tanh, [](double x) { return x * tanh_cdf(x); }, -9, false},
};

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
    {BinaryOp::maximum, [](double a, double b) { return a > b ? a : b; }, true},
    {BinaryOp::minimum, [](double a, double b) { return a < b ? a : b; }, true},
    {BinaryOp::equal, [](double a, double b) { return a == b ? 1.0 : 0.0; }, true},
    {BinaryOp::relu_backward, [](double g, double y) { return y > 0 ? g : 0; }, false},
    {BinaryOp::sigmoid_backward, [](double g, double y) { return g * y * (1 - y); }, false},
    {BinaryOp::tanh_backward, [](double g, double y) { return g * (1 - y * y); }, false},
    {BinaryOp::abs_backward, [](double g, double x) { return x > 0 ? g : -g; }, false},
    {BinaryOp::gelu_backward,
     [](double g, double x) { return g * (normal_cdf(x) + x * normal_density(x)); }, false},
    {BinaryOp::gelu_tanh_backward,
     [](double g, double x) { return g * (tanh_cdf(x) + x * tanh_density(x)); }, false},
    {BinaryOp::select_greater, [](double g, double d) { return d > 0 ? g : 0; }, false},
};

void check_unary(const UnaryCase& test, DType dtype, const Shape& shape, Layout in, Layout layout) {
  ExecContext ctx = test_context();
  const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(test.low, 9));
  TestTensor out(dtype, shape, layout);
  unary(ctx, test.op, x.view(), out.view());
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double expected = test.reference(x.get(i));
    INFO(name(test.op) << " of " << describe(x) << " into " << describe(out) << " element " << i
                       << ": " << x.get(i));
    if (!close(out.get(i), expected, tolerance(dtype, expected))) CHECK(out.get(i) == expected);
  }
}

void check_binary(const BinaryCase& test, DType dtype, const Shape& shape, Layout left,
                  Layout right, Layout layout) {
  ExecContext ctx = test_context();
  Draw draw(-9, 9);
  const TestTensor a = TestTensor(dtype, shape, left).fill([&] { return draw(); });
  const TestTensor b = TestTensor(dtype, shape, right).fill([&] { return draw(); });
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

// f of one or two f32 numbers.
double unary_of(UnaryOp op, double value, DType dtype = f32) {
  ExecContext ctx = test_context();
  TestTensor x(dtype, {});
  x.set(0, value);
  unary(ctx, op, x.view(), x.view());
  return x.get(0);
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

TEST_CASE("unary operations agree with double precision in every layout", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const UnaryCase& test : kUnary) {
    for (const DType dtype : {f32, f64, i32, i64}) {
      if (!is_floating_point(dtype) && !test.integers) continue;
      for (const Shape& shape : edge_shapes()) {
        for (const Layout in : kLayouts) {
          for (const Layout out : kOutputLayouts) check_unary(test, dtype, shape, in, out);
        }
      }
    }
  }
}

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

TEST_CASE("relu, maximum and minimum keep NaN", "[elementwise]") {
  CHECK(std::isnan(unary_of(UnaryOp::relu, kNan)));
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
    INFO(name(op));
    CHECK(std::isnan(binary_of(op, kNan, 1)));
    CHECK(std::isnan(binary_of(op, 1, kNan)));
  }
}

TEST_CASE("sigmoid and tanh saturate without overflow", "[elementwise]") {
  CHECK(unary_of(UnaryOp::sigmoid, -1e4) == 0);
  CHECK(unary_of(UnaryOp::sigmoid, 1e4) == 1);
  CHECK(unary_of(UnaryOp::tanh, -1e4) == -1);
  CHECK(unary_of(UnaryOp::tanh, kInf) == 1);
}

TEST_CASE("erf follows std::erf all the way", "[elementwise]") {
  ExecContext ctx = test_context();
  constexpr std::int64_t kSteps = 100001;
  TestTensor x(f32, {kSteps});
  for (std::int64_t i = 0; i < kSteps; ++i) x.set(i, static_cast<double>(i) * 1e-4 - 5);
  const TestTensor y(f32, {kSteps});
  unary(ctx, UnaryOp::erf, x.view(), y.view());
  double largest = 0;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    largest = std::max(largest, std::abs(y.get(i) - std::erf(x.get(i))));
  }
  CHECK(largest < 5e-7);
}

TEST_CASE("gelu saturates without a trace and keeps NaN", "[elementwise]") {
  for (const UnaryOp op : {UnaryOp::gelu, UnaryOp::gelu_tanh}) {
    for (const DType dtype : {f32, f64}) {
      INFO(name(op) << " " << name(dtype));
      CHECK(unary_of(op, -1e4, dtype) == 0);
      CHECK(unary_of(op, 1e4, dtype) == 1e4);
      CHECK(unary_of(op, kInf, dtype) == kInf);
      CHECK(std::isnan(unary_of(op, kNan, dtype)));
    }
  }
}

TEST_CASE("gradients at the kinks", "[elementwise]") {
  CHECK(binary_of(BinaryOp::relu_backward, 3, 0) == 0);
  CHECK(binary_of(BinaryOp::abs_backward, 3, 0) == 0);
  CHECK(binary_of(BinaryOp::select_greater, 3, 0) == 1.5);
  CHECK(binary_of(BinaryOp::select_greater, 3, -1) == 0);
}

TEST_CASE("integers wrap around", "[elementwise]") {
  const double lowest = -2147483648.0;
  CHECK(unary_of(UnaryOp::neg, lowest, i32) == lowest);
  CHECK(unary_of(UnaryOp::abs, lowest, i32) == lowest);
  CHECK(binary_of(BinaryOp::add, 2147483647, 1, i32) == lowest);
  CHECK(binary_of(BinaryOp::mul, 65536, 65536, i32) == 0);
}

TEST_CASE("operations refuse dtypes they do not have, naming both", "[elementwise]") {
  CHECK_THROWS_WITH(binary_of(BinaryOp::div, 1, 2, i32), Contains("div") && Contains("i32"));
  CHECK_THROWS_WITH(unary_of(UnaryOp::exp, 1, i64), Contains("exp") && Contains("i64"));
  CHECK_THROWS_WITH(unary_of(UnaryOp::relu, 1, f16), Contains("relu") && Contains("f16"));
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
