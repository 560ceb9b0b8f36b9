#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "minidl/kernels/elementwise.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

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

double mish_slope(double x) {
  const double t = std::tanh(std::log1p(std::exp(x)));
  return t + x * (1 - t * t) * logistic(x);
}

struct UnaryCase {
  UnaryOp op;
  double (*reference)(double);
  double (*slope)(double);  ///< null where it is a constant
  double low;
  bool integers;
};

// clang-format off
const UnaryCase kUnary[] = {
    {UnaryOp::neg, [](double x) { return -x; }, nullptr, -9, true},
    {UnaryOp::abs, [](double x) { return std::fabs(x); },
     [](double x) { return x < 0 ? -1.0 : 1.0; }, -9, true},
    {UnaryOp::sign, [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; }, nullptr, -9, true},
    {UnaryOp::square, [](double x) { return x * x; }, [](double x) { return 2 * x; }, -9, true},
    {UnaryOp::reciprocal, [](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); },
     0.1, false},
    {UnaryOp::sqrt, [](double x) { return std::sqrt(x); },
     [](double x) { return 0.5 / std::sqrt(x); }, 0.1, false},
    {UnaryOp::rsqrt, [](double x) { return 1 / std::sqrt(x); },
     [](double x) { return -0.5 * std::pow(x, -1.5); }, 0.1, false},
    {UnaryOp::exp, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, -9,
     false},
    {UnaryOp::exp2, [](double x) { return std::exp2(x); },
     [](double x) { return std::exp2(x) * std::log(2.0); }, -9, false},
    {UnaryOp::expm1, [](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); },
     -9, false},
    {UnaryOp::log, [](double x) { return std::log(x); }, [](double x) { return 1 / x; }, 0.1,
     false},
    {UnaryOp::log2, [](double x) { return std::log2(x); },
     [](double x) { return 1 / (x * std::log(2.0)); }, 0.1, false},
    {UnaryOp::log10, [](double x) { return std::log10(x); },
     [](double x) { return 1 / (x * std::log(10.0)); }, 0.1, false},
    {UnaryOp::log1p, [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); },
     -0.8, false},
    {UnaryOp::sin, [](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }, -9,
     false},
    {UnaryOp::cos, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }, -9,
     false},
    {UnaryOp::floor, [](double x) { return std::floor(x); }, nullptr, -9, true},
    {UnaryOp::ceil, [](double x) { return std::ceil(x); }, nullptr, -9, true},
    {UnaryOp::round, [](double x) { return std::nearbyint(x); }, nullptr, -9, true},
    {UnaryOp::trunc, [](double x) { return std::trunc(x); }, nullptr, -9, true},
    {UnaryOp::relu, [](double x) { return x > 0 ? x : 0; },
     [](double x) { return x > 0 ? 1.0 : 0.0; }, -9, true},
    {UnaryOp::sigmoid, logistic, [](double x) { return logistic(x) * logistic(-x); }, -9, false},
    {UnaryOp::logsigmoid, [](double x) { return -std::log1p(std::exp(-x)); },
     [](double x) { return logistic(-x); }, -9, false},
    {UnaryOp::tanh, [](double x) { return std::tanh(x); },
     [](double x) { return 1 - std::tanh(x) * std::tanh(x); }, -9, false},
    {UnaryOp::erf, [](double x) { return std::erf(x); },
     [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); }, -9, false},
    {UnaryOp::gelu, [](double x) { return x * normal_cdf(x); },
     [](double x) { return normal_cdf(x) + x * normal_density(x); }, -9, false},
    {UnaryOp::gelu_tanh, [](double x) { return x * tanh_cdf(x); },
     [](double x) { return tanh_cdf(x) + x * tanh_density(x); }, -9, false},
    {UnaryOp::silu, [](double x) { return x * logistic(x); },
     [](double x) { return logistic(x) * (1 + x * logistic(-x)); }, -9, false},
    {UnaryOp::mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, mish_slope,
     -9, false},
    {UnaryOp::hardsigmoid, [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); },
     [](double x) { return std::abs(x) < 3 ? 1.0 / 6 : 0.0; }, -9, false},
    {UnaryOp::hardswish, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); },
     [](double x) { return x < -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5; }, -9, false},
};

struct ParametricCase {
  ParametricOp op;
  Parameters with;
  double (*reference)(double, const Parameters&);
  double (*slope)(double, const Parameters&);  ///< null where it is a constant
  bool integers;
};

double limited(double x, const Parameters& p) {
  return std::min(std::max(x, p.first), p.second);
}
double within(double x, const Parameters& p) {
  return x > p.first && x < p.second ? 1 : 0;
}
double floor_quotient(double x, const Parameters& p) {
  return std::floor(x / p.first);
}
double rest(double x, const Parameters& p) {
  return x - p.first * std::floor(x / p.first);
}

const ParametricCase kParametric[] = {
    {ParametricOp::clamp, {-2, 3}, limited, within, true},
    {ParametricOp::clamp, {-kInf, 3}, limited, within, true},
    {ParametricOp::clamp, {3, -2}, limited, within, true},
    {ParametricOp::hardtanh, {-1.5, 0.25}, limited, within, false},
    {ParametricOp::leaky_relu, {0.2},
     [](double x, const Parameters& p) { return x > 0 ? x : p.first * x; },
     [](double x, const Parameters& p) { return x > 0 ? 1 : p.first; }, false},
    {ParametricOp::elu, {1.5},
     [](double x, const Parameters& p) { return x > 0 ? x : p.first * std::expm1(x); },
     [](double x, const Parameters& p) { return x > 0 ? 1 : p.first * std::exp(x); }, false},
    {ParametricOp::softplus, {2, 5},
     [](double x, const Parameters& p) {
       return p.first * x > p.second ? x : std::log1p(std::exp(p.first * x)) / p.first;
     },
     [](double x, const Parameters& p) {
       return p.first * x > p.second ? 1 : logistic(p.first * x);
     },
     false},
    {ParametricOp::floor_divide, {3}, floor_quotient, nullptr, true},
    {ParametricOp::floor_divide, {-2}, floor_quotient, nullptr, true},
    {ParametricOp::floor_divide, {0.7}, floor_quotient, nullptr, false},
    {ParametricOp::remainder, {3}, rest, nullptr, true},
    {ParametricOp::remainder, {-2}, rest, nullptr, true},
    {ParametricOp::remainder, {0.7}, rest, nullptr, false},
};
// clang-format on

// Calls check(dtype, shape, layout of the operand, layout of the result).
template <class Check>
void for_each_layout(bool integers, const Check& check) {
  for (const DType dtype : {f32, f64, i32, i64}) {
    if (!is_floating_point(dtype) && !integers) continue;
    for (const Shape& shape : edge_shapes()) {
      for (const Layout in : kLayouts) check(dtype, shape, in, Layout::contiguous);
      for (const Layout out : kOutputLayouts) check(dtype, shape, Layout::contiguous, out);
    }
  }
}

// Element by element; NaN equals NaN.
template <class Expected>
void check_elements(const TestTensor& out, const TestTensor& x, double looser,
                    const Expected& expected) {
  const DType dtype = out.geometry().dtype;
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const double wanted = expected(i);
    INFO(describe(x) << " into " << describe(out) << " element " << i << ": " << x.get(i));
    if (!close(out.get(i), wanted, looser * tolerance(dtype, wanted))) CHECK(out.get(i) == wanted);
  }
}

}  // namespace

TEST_CASE("unary operations agree with double precision in every layout", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const UnaryCase& test : kUnary) {
    INFO(name(test.op));
    for_each_layout(test.integers, [&](DType dtype, const Shape& shape, Layout in, Layout layout) {
      const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(test.low, 9));
      const TestTensor out(dtype, shape, layout);
      unary(ctx, test.op, x.view(), out.view());
      check_elements(out, x, 1, [&](std::int64_t i) { return test.reference(x.get(i)); });
    });
  }
}

TEST_CASE("unary gradients agree with double precision in every layout", "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const UnaryCase& test : kUnary) {
    INFO(name(test.op));
    const Derivative from = derivative(test.op);
    CHECK((test.slope == nullptr) == (from == Derivative::zero || from == Derivative::minus_one));
    if (test.slope == nullptr) continue;
    for_each_layout(false, [&](DType dtype, const Shape& shape, Layout in, Layout layout) {
      const TestTensor grad = TestTensor(dtype, shape, in).fill(Draw(-2, 2));
      const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(test.low, 3));
      TestTensor saved = x;
      if (from == Derivative::of_output) {
        for (std::int64_t i = 0; i < x.numel(); ++i) saved.set(i, test.reference(x.get(i)));
      }
      const TestTensor out(dtype, shape, layout);
      unary_backward(ctx, test.op, grad.view(), saved.view(), out.view());
      check_elements(out, x, 10,
                     [&](std::int64_t i) { return grad.get(i) * test.slope(x.get(i)); });
    });
  }
}

TEST_CASE("operations with numbers, and their gradients, agree with double precision",
          "[elementwise]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const ParametricCase& test : kParametric) {
    INFO(name(test.op) << " " << test.with.first << ", " << test.with.second);
    for_each_layout(test.integers, [&](DType dtype, const Shape& shape, Layout in, Layout layout) {
      const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(-9, 9));
      const TestTensor out(dtype, shape, layout);
      parametric(ctx, test.op, test.with, x.view(), out.view());
      check_elements(out, x, 1,
                     [&](std::int64_t i) { return test.reference(x.get(i), test.with); });
      if (test.slope == nullptr || !is_floating_point(dtype)) return;
      const TestTensor grad = TestTensor(dtype, shape, in).fill(Draw(-2, 2));
      parametric_backward(ctx, test.op, test.with, grad.view(), x.view(), out.view());
      check_elements(out, x, 1,
                     [&](std::int64_t i) { return grad.get(i) * test.slope(x.get(i), test.with); });
    });
  }
}
