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

void add_binary(std::vector<OpRow>& rows, const char* name,
                Tensor (*op)(const Tensor&, const Tensor&), Scalar2 scalar, double low_b = -2) {
  auto sample = [=](const Shape& a, const Shape& b) {
    return Sample{to_string(a) + " " + to_string(b),
                  {{a}, {b, low_b, 2}},
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

}  // namespace

void add_elementwise_rows(std::vector<OpRow>& rows) {
  add_unary(rows, "neg", neg, [](double x) { return -x; });
  add_unary(rows, "abs", abs, [](double x) { return x < 0 ? -x : x; });
  add_unary(rows, "exp", exp, [](double x) { return std::exp(x); });
  add_unary(
      rows, "log", log, [](double x) { return std::log(x); }, 0.1, 4);
  add_unary(
      rows, "sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0.1, 4);
  add_unary(rows, "relu", relu, [](double x) { return x > 0 ? x : 0; });
  add_unary(rows, "sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); });
  add_unary(rows, "tanh", minidl::tanh, [](double x) { return std::tanh(x); });
  add_unary(
      rows, "erf", minidl::erf, [](double x) { return std::erf(x); }, -3, 3);
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

  add_binary(rows, "add", add, [](double a, double b) { return a + b; });
  add_binary(rows, "sub", sub, [](double a, double b) { return a - b; });
  add_binary(rows, "mul", mul, [](double a, double b) { return a * b; });
  add_binary(
      rows, "div", div, [](double a, double b) { return a / b; }, 0.5);
  add_binary(rows, "maximum", maximum, [](double a, double b) { return a > b ? a : b; });
  add_binary(rows, "minimum", minimum, [](double a, double b) { return a < b ? a : b; });

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
  add_dropout(rows);
}

}  // namespace minidl::test
