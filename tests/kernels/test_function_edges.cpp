// Functions of one operand where tables of random numbers do not reach: at the edges of their
// domains, at kinks, on integers.
#include <algorithm>
#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/elementwise.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// f of one number.
double unary_of(UnaryOp op, double value, DType dtype = f32) {
  ExecContext ctx = test_context();
  TestTensor x(dtype, {});
  x.set(0, value);
  unary(ctx, op, x.view(), x.view());
  return x.get(0);
}

double parametric_of(ParametricOp op, const Parameters& with, double value, DType dtype = f32) {
  ExecContext ctx = test_context();
  TestTensor x(dtype, {});
  x.set(0, value);
  parametric(ctx, op, with, x.view(), x.view());
  return x.get(0);
}

// Gradients for an incoming gradient of 3.
double gradient_of(UnaryOp op, double saved) {
  ExecContext ctx = test_context();
  TestTensor grad(f32, {});
  TestTensor x(f32, {});
  grad.set(0, 3);
  x.set(0, saved);
  unary_backward(ctx, op, grad.view(), x.view(), x.view());
  return x.get(0);
}

double gradient_of(ParametricOp op, const Parameters& with, double saved) {
  ExecContext ctx = test_context();
  TestTensor grad(f32, {});
  TestTensor x(f32, {});
  grad.set(0, 3);
  x.set(0, saved);
  parametric_backward(ctx, op, with, grad.view(), x.view(), x.view());
  return x.get(0);
}

}  // namespace

TEST_CASE("unary operations at the edges of their domains", "[elementwise]") {
  struct Row {
    UnaryOp op;
    double x, expected;
  };
  constexpr Row kRows[] = {
      {UnaryOp::relu, kNan, kNan},
      {UnaryOp::sign, kNan, 0},
      {UnaryOp::sign, -kInf, -1},
      {UnaryOp::reciprocal, 0, kInf},
      {UnaryOp::rsqrt, 0, kInf},
      {UnaryOp::rsqrt, -1, kNan},
      {UnaryOp::log1p, 1e-20, 1e-20},
      {UnaryOp::expm1, 1e-20, 1e-20},
      {UnaryOp::log1p, -1, -kInf},
      {UnaryOp::exp2, 10, 1024},
      {UnaryOp::log2, 8, 3},
      {UnaryOp::log10, 1000, 3},
      {UnaryOp::round, 0.5, 0},
      {UnaryOp::round, 1.5, 2},
      {UnaryOp::round, 2.5, 2},
      {UnaryOp::round, -3.5, -4},
      {UnaryOp::floor, -0.5, -1},
      {UnaryOp::ceil, 0.5, 1},
      {UnaryOp::trunc, -1.9, -1},
      {UnaryOp::floor, kInf, kInf},
      {UnaryOp::sigmoid, -1e4, 0},
      {UnaryOp::sigmoid, 1e4, 1},
      {UnaryOp::logsigmoid, -1e4, -1e4},
      {UnaryOp::logsigmoid, 1e4, 0},
      {UnaryOp::tanh, -1e4, -1},
      {UnaryOp::tanh, kInf, 1},
      {UnaryOp::silu, -1e4, 0},
      {UnaryOp::silu, 1e4, 1e4},
      {UnaryOp::mish, -1e4, 0},
      {UnaryOp::mish, 1e4, 1e4},
      {UnaryOp::hardsigmoid, -3, 0},
      {UnaryOp::hardsigmoid, 3, 1},
      {UnaryOp::hardsigmoid, kInf, 1},
      {UnaryOp::hardswish, -4, 0},
      {UnaryOp::hardswish, 1e4, 1e4},
      {UnaryOp::hardswish, kNan, kNan},
      {UnaryOp::gelu, -1e4, 0},
      {UnaryOp::gelu, 1e4, 1e4},
      {UnaryOp::gelu, kInf, kInf},
      {UnaryOp::gelu, kNan, kNan},
      {UnaryOp::gelu_tanh, -1e4, 0},
      {UnaryOp::gelu_tanh, 1e4, 1e4},
      {UnaryOp::gelu_tanh, kInf, kInf},
      {UnaryOp::gelu_tanh, kNan, kNan},
  };
  for (const Row& row : kRows) {
    for (const DType dtype : {f32, f64}) {
      INFO(name(row.op) << " of " << row.x << " in " << name(dtype));
      const double actual = unary_of(row.op, row.x, dtype);
      const double allowed = std::isfinite(row.expected) ? std::abs(row.expected) * 1e-6 : 0;
      if (!close(actual, row.expected, allowed)) CHECK(actual == row.expected);
    }
  }
}

TEST_CASE("operations with numbers at the edges of their domains", "[elementwise]") {
  struct Row {
    ParametricOp op;
    Parameters with;
    double x, expected;
  };
  constexpr Row kRows[] = {
      {ParametricOp::clamp, {-1, 1}, kNan, kNan},   {ParametricOp::clamp, {-1, 1}, kInf, 1},
      {ParametricOp::clamp, {1, -1}, 0, -1},        {ParametricOp::hardtanh, {0, 6}, 7, 6},
      {ParametricOp::leaky_relu, {0.5}, -4, -2},    {ParametricOp::elu, {2}, -1e4, -2},
      {ParametricOp::softplus, {1, 20}, 1e4, 1e4},  {ParametricOp::softplus, {1, 20}, -1e4, 0},
      {ParametricOp::softplus, {1, 1e9}, 1e4, 1e4}, {ParametricOp::elu, {1}, kNan, kNan},
      {ParametricOp::floor_divide, {0}, 1, kInf},   {ParametricOp::remainder, {0}, 1, kNan},
  };
  for (const Row& row : kRows) {
    INFO(name(row.op) << " of " << row.x);
    const double actual = parametric_of(row.op, row.with, row.x);
    if (!close(actual, row.expected, 0)) CHECK(actual == row.expected);
  }
  CHECK(parametric_of(ParametricOp::clamp, {-kInf, 5}, -7, i64) == -7);
  CHECK(parametric_of(ParametricOp::clamp, {-kInf, kInf}, 7, i32) == 7);
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

TEST_CASE("gradients at the kinks", "[elementwise]") {
  struct Row {
    UnaryOp op;
    double saved, gradient;
  };
  constexpr Row kRows[] = {
      {UnaryOp::relu, 0, 0},        {UnaryOp::abs, 0, 0},        {UnaryOp::hardsigmoid, -3, 0},
      {UnaryOp::hardsigmoid, 3, 0}, {UnaryOp::hardswish, -3, 0}, {UnaryOp::hardswish, 3, 3},
      {UnaryOp::silu, -1e4, 0},     {UnaryOp::mish, 1e4, 3},     {UnaryOp::logsigmoid, -1e4, 3},
  };
  for (const Row& row : kRows) {
    INFO(name(row.op) << " at " << row.saved);
    CHECK(gradient_of(row.op, row.saved) == row.gradient);
  }
  CHECK(gradient_of(ParametricOp::clamp, {-1, 2}, -1) == 0);
  CHECK(gradient_of(ParametricOp::clamp, {-1, 2}, 2) == 0);
  CHECK(gradient_of(ParametricOp::clamp, {-kInf, 2}, -kInf) == 3);  // no limit at all
  CHECK(gradient_of(ParametricOp::hardtanh, {-1, 2}, -1) == 0);
  CHECK(gradient_of(ParametricOp::hardtanh, {-1, 2}, 2) == 0);
  CHECK(gradient_of(ParametricOp::leaky_relu, {0.5}, 0) == 1.5);
  CHECK(gradient_of(ParametricOp::elu, {2}, 0) == 6);
  CHECK(gradient_of(ParametricOp::softplus, {1, 20}, 1e4) == 3);
  CHECK_THROWS_WITH(gradient_of(UnaryOp::floor, 1), Contains("floor") && Contains("constant"));
  CHECK_THROWS_WITH(gradient_of(ParametricOp::remainder, {1}, 1),
                    Contains("remainder") && Contains("constant"));
}

TEST_CASE("unary operations of integers wrap around", "[elementwise]") {
  const double lowest = -2147483648.0;
  CHECK(unary_of(UnaryOp::neg, lowest, i32) == lowest);
  CHECK(unary_of(UnaryOp::abs, lowest, i32) == lowest);
  CHECK(unary_of(UnaryOp::square, 65536, i32) == 0);
  CHECK(parametric_of(ParametricOp::floor_divide, {-1}, lowest, i32) == lowest);
}

TEST_CASE("bitwise_not of integers and bool", "[elementwise]") {
  CHECK(unary_of(UnaryOp::bitwise_not, 5, i8) == -6);
  CHECK(unary_of(UnaryOp::bitwise_not, 5, u8) == 250);
  CHECK(unary_of(UnaryOp::bitwise_not, 5, i32) == -6);
  CHECK(unary_of(UnaryOp::bitwise_not, -1, i64) == 0);
  CHECK(unary_of(UnaryOp::bitwise_not, 1, boolean) == 0);
  CHECK(unary_of(UnaryOp::bitwise_not, 0, boolean) == 1);
}

TEST_CASE("unary operations refuse dtypes they do not have, naming both", "[elementwise]") {
  CHECK_THROWS_WITH(unary_of(UnaryOp::exp, 1, i64), Contains("exp") && Contains("i64"));
  CHECK_THROWS_WITH(unary_of(UnaryOp::relu, 1, u8), Contains("relu") && Contains("u8"));
  CHECK_THROWS_WITH(unary_of(UnaryOp::bitwise_not, 1), Contains("bitwise_not") && Contains("f32"));
  CHECK_THROWS_WITH(parametric_of(ParametricOp::elu, {1e99}, 1, i32),
                    Contains("elu") && Contains("i32"));
  CHECK_THROWS_WITH(parametric_of(ParametricOp::clamp, {0, 1}, 1, u8),
                    Contains("clamp") && Contains("u8"));
}
