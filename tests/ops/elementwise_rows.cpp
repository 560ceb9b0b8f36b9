#include <algorithm>
#include <cmath>
#include <numbers>

#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/philox.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

const Shape kBenchShape{32, 64, 56, 56};

using Scalar1 = double (*)(double);
using Scalar2 = double (*)(double, double);

void add_unary(std::vector<OpRow>& rows, const char* name, Tensor (*op)(const Tensor&),
               Scalar1 scalar, double low = -2, double high = 2) {
  auto sample = [=](const Shape& shape) {
    return Sample{to_string(shape),
                  {{shape, low, high}},
                  [=](const Tensors& in) { return op(in[0]); },
                  [=](const Arrays& in) {
                    return generate(in[0].shape,
                                    [&](const Dims& index) { return scalar(in[0].at(index)); });
                  }};
  };
  rows.push_back({name,
                  [=](Chooser& choose) {
                    std::vector<Sample> samples{sample({}), sample({0, 3}), sample({2, 3, 4, 5})};
                    for (int ndim = 1; ndim <= 4; ++ndim)
                      samples.push_back(sample(choose.shape(ndim)));
                    return samples;
                  },
                  [=] { return sample(kBenchShape); }});
}

struct Range {
  double low = -2;
  double high = 2;
};

void add_binary(std::vector<OpRow>& rows, const char* name,
                Tensor (*op)(const Tensor&, const Tensor&), Scalar2 scalar, Range range_a = {},
                Range range_b = {}) {
  auto sample = [=](const Shape& a, const Shape& b) {
    return Sample{to_string(a) + " " + to_string(b),
                  {{a, range_a.low, range_a.high}, {b, range_b.low, range_b.high}},
                  [=](const Tensors& in) { return op(in[0], in[1]); },
                  [=](const Arrays& in) {
                    return generate(broadcast_shapes("reference", in[0].shape, in[1].shape),
                                    [&](const Dims& index) {
                                      return scalar(in[0].broadcast_at(index),
                                                    in[1].broadcast_at(index));
                                    });
                  }};
  };
  rows.push_back({name,
                  [=](Chooser& choose) {
                    std::vector<Sample> samples{sample({}, {}), sample({3}, {}),
                                                sample({2, 1}, {1, 3}), sample({0, 3}, {1, 3}),
                                                sample({2, 3, 4, 5}, {3, 1, 1})};
                    // Random shapes, of which either side is stretched here and there.
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      Shape a = choose.shape(ndim);
                      Shape b = a;
                      for (int i = 0; i < ndim; ++i) {
                        if (choose.coin()) (choose.coin() ? a : b)[i] = 1;
                      }
                      samples.push_back(sample(a, b));
                    }
                    return samples;
                  },
                  [=] { return sample(kBenchShape, kBenchShape); }});
}

// Attributes that a chooser draws, for operations of one operand and some numbers.
struct Numbers {
  double first = 0;
  double second = 0;
};

void add_with_numbers(std::vector<OpRow>& rows, const char* name, Numbers (*draw)(Chooser&),
                      Tensor (*op)(const Tensor&, const Numbers&),
                      double (*scalar)(double, const Numbers&), double low = -2) {
  auto sample = [=](const Shape& shape, const Numbers& numbers) {
    return Sample{to_string(shape) + " " + std::to_string(numbers.first) + " " +
                      std::to_string(numbers.second),
                  {{shape, low, 2}},
                  [=](const Tensors& in) { return op(in[0], numbers); },
                  [=](const Arrays& in) {
                    return generate(in[0].shape, [&](const Dims& index) {
                      return scalar(in[0].at(index), numbers);
                    });
                  }};
  };
  rows.push_back({name,
                  [=](Chooser& choose) {
                    std::vector<Sample> samples;
                    for (int ndim = 0; ndim <= 4; ++ndim) {
                      samples.push_back(sample(choose.shape(ndim), draw(choose)));
                    }
                    return samples;
                  },
                  [=] {
                    Chooser choose(0);
                    return sample(kBenchShape, draw(choose));
                  }});
}

void add_dropout(std::vector<OpRow>& rows) {
  auto sample = [](const Shape& shape, double p, std::uint64_t seed) {
    return Sample{to_string(shape) + " p " + std::to_string(p),
                  {{shape}},
                  [=](const Tensors& in) {
                    manual_seed(seed);
                    return dropout(in[0], p);
                  },
                  [=](const Arrays& in) {
                    Array out = in[0];
                    for (std::size_t i = 0; i < out.values.size(); ++i) {
                      const double u = philox_uniform(philox4x32(seed, 0, i / 4)[i % 4]);
                      out.values[i] = u < p ? 0 : out.values[i] / (1 - p);
                    }
                    return out;
                  }};
  };
  rows.push_back({"dropout",
                  [=](Chooser& choose) {
                    std::vector<Sample> samples{sample({4, 5}, 1, 7)};
                    samples.back().reference = [](const Arrays& in) { return Array(in[0].shape); };
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      samples.push_back(sample(choose.shape(ndim), choose.real(0.1, 0.9),
                                               static_cast<std::uint64_t>(choose.between(0, 999))));
                    }
                    return samples;
                  },
                  [=] { return sample(kBenchShape, 0.5, 1); }});
}

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

void add_mathematical(std::vector<OpRow>& rows) {
  add_unary(rows, "neg", neg, [](double x) { return -x; });
  add_unary(rows, "abs", minidl::abs, [](double x) { return x < 0 ? -x : x; });
  add_unary(rows, "sign", sign, [](double x) { return x < 0 ? -1.0 : 1.0; });
  add_unary(rows, "square", square, [](double x) { return x * x; });
  add_unary(
      rows, "reciprocal", reciprocal, [](double x) { return 1 / x; }, 0.3, 4);
  add_unary(
      rows, "sqrt", minidl::sqrt, [](double x) { return std::sqrt(x); }, 0.1, 4);
  add_unary(
      rows, "rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.3, 4);
  add_unary(rows, "exp", minidl::exp, [](double x) { return std::exp(x); });
  add_unary(rows, "exp2", minidl::exp2, [](double x) { return std::exp2(x); });
  add_unary(rows, "expm1", minidl::expm1, [](double x) { return std::expm1(x); });
  add_unary(
      rows, "log", minidl::log, [](double x) { return std::log(x); }, 0.1, 4);
  add_unary(
      rows, "log2", minidl::log2, [](double x) { return std::log2(x); }, 0.1, 4);
  add_unary(
      rows, "log10", minidl::log10, [](double x) { return std::log10(x); }, 0.1, 4);
  add_unary(
      rows, "log1p", minidl::log1p, [](double x) { return std::log1p(x); }, -0.8, 4);
  add_unary(
      rows, "sin", minidl::sin, [](double x) { return std::sin(x); }, -5, 5);
  add_unary(
      rows, "cos", minidl::cos, [](double x) { return std::cos(x); }, -5, 5);
  add_unary(
      rows, "erf", minidl::erf, [](double x) { return std::erf(x); }, -3, 3);
  add_unary(rows, "floor", minidl::floor, [](double x) { return std::floor(x); });
  add_unary(rows, "ceil", minidl::ceil, [](double x) { return std::ceil(x); });
  add_unary(rows, "round", minidl::round, [](double x) { return std::nearbyint(x); });
  add_unary(rows, "trunc", minidl::trunc, [](double x) { return std::trunc(x); });
}

void add_activations(std::vector<OpRow>& rows) {
  add_unary(rows, "relu", relu, [](double x) { return x > 0 ? x : 0; });
  add_unary(rows, "sigmoid", sigmoid, logistic);
  add_unary(rows, "tanh", minidl::tanh, [](double x) { return std::tanh(x); });
  add_unary(
      rows, "logsigmoid", logsigmoid, [](double x) { return std::log(logistic(x)); }, -5, 5);
  add_unary(
      rows, "silu", silu, [](double x) { return x * logistic(x); }, -5, 5);
  add_unary(
      rows, "mish", mish, [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); }, -5, 5);
  add_unary(
      rows, "relu6", relu6, [](double x) { return std::clamp(x, 0.0, 6.0); }, -4, 8);
  add_unary(
      rows, "hardsigmoid", hardsigmoid, [](double x) { return std::clamp(x + 3, 0.0, 6.0) / 6; },
      -5, 5);
  add_unary(
      rows, "hardswish", hardswish, [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; },
      -5, 5);
  add_unary(
      rows, "gelu", [](const Tensor& x) { return gelu(x); },
      [](double x) { return x / 2 * std::erfc(-x / std::sqrt(2.0)); }, -5, 5);
  add_unary(
      rows, "gelu_tanh", [](const Tensor& x) { return gelu(x, GeluApproximation::tanh); },
      [](double x) {
        return x / 2 *
               (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
      },
      -5, 5);
}

// Quarters: the grid of operands stays away from kinks there.
double quarter(Chooser& choose, std::int64_t low, std::int64_t high) {
  return static_cast<double>(choose.between(low, high)) / 4;
}

void add_parametric(std::vector<OpRow>& rows) {
  const auto limits = [](Chooser& c) { return Numbers{quarter(c, -6, 0), quarter(c, 1, 6)}; };
  add_with_numbers(
      rows, "clamp", limits,
      [](const Tensor& x, const Numbers& n) { return clamp(x, n.first, n.second); },
      [](double x, const Numbers& n) { return std::clamp(x, n.first, n.second); });
  add_with_numbers(
      rows, "clamp_min", limits,
      [](const Tensor& x, const Numbers& n) { return clamp_min(x, n.first); },
      [](double x, const Numbers& n) { return std::max(x, n.first); });
  add_with_numbers(
      rows, "clamp_max", limits,
      [](const Tensor& x, const Numbers& n) { return clamp_max(x, n.first); },
      [](double x, const Numbers& n) { return std::min(x, n.first); });
  add_with_numbers(
      rows, "hardtanh", limits,
      [](const Tensor& x, const Numbers& n) { return hardtanh(x, n.first, n.second); },
      [](double x, const Numbers& n) { return std::clamp(x, n.first, n.second); });
  const auto positive = [](Chooser& c) { return Numbers{c.real(0.1, 3), 20}; };
  add_with_numbers(
      rows, "leaky_relu", positive,
      [](const Tensor& x, const Numbers& n) { return leaky_relu(x, n.first); },
      [](double x, const Numbers& n) { return x > 0 ? x : n.first * x; });
  add_with_numbers(
      rows, "elu", positive, [](const Tensor& x, const Numbers& n) { return elu(x, n.first); },
      [](double x, const Numbers& n) { return x > 0 ? x : n.first * (std::exp(x) - 1); });
  add_with_numbers(
      rows, "softplus", positive,
      [](const Tensor& x, const Numbers& n) { return softplus(x, n.first, n.second); },
      [](double x, const Numbers& n) { return std::log(1 + std::exp(n.first * x)) / n.first; });
  add_with_numbers(
      rows, "remainder of a number",
      [](Chooser& c) { return Numbers{quarter(c, 1, 6) * (c.coin() ? 1 : -1)}; },
      [](const Tensor& x, const Numbers& n) { return remainder(x, n.first); },
      [](double x, const Numbers& n) { return x - n.first * std::floor(x / n.first); });
  add_with_numbers(
      rows, "affine",
      [](Chooser& c) {
        return Numbers{c.real(-2, 2), c.real(-2, 2)};
      },
      [](const Tensor& x, const Numbers& n) { return affine(x, n.first, n.second); },
      [](double x, const Numbers& n) { return n.first * x + n.second; });
  add_with_numbers(
      rows, "pow",
      [](Chooser& c) {
        return Numbers{c.real(-2, 3), 0};
      },
      [](const Tensor& x, const Numbers& n) { return pow(x, n.first); },
      [](double x, const Numbers& n) { return std::pow(x, n.first); }, 0.3);
}

}  // namespace

void add_elementwise_rows(std::vector<OpRow>& rows) {
  add_mathematical(rows);
  add_activations(rows);
  add_parametric(rows);
  add_binary(rows, "add", add, [](double a, double b) { return a + b; });
  add_binary(rows, "sub", sub, [](double a, double b) { return a - b; });
  add_binary(rows, "mul", mul, [](double a, double b) { return a * b; });
  add_binary(rows, "div", minidl::div, [](double a, double b) { return a / b; }, {}, {0.5, 2});
  add_binary(rows, "remainder", minidl::remainder,
             [](double a, double b) { return a - b * std::floor(a / b); }, {-2, -0.1}, {3, 5});
  add_binary(rows, "pow of tensors", minidl::pow, [](double a, double b) { return std::pow(a, b); },
             {0.3, 2});
  add_binary(rows, "maximum", maximum, [](double a, double b) { return a > b ? a : b; });
  add_binary(rows, "minimum", minimum, [](double a, double b) { return a < b ? a : b; });
  add_dropout(rows);
}

}  // namespace minidl::test
