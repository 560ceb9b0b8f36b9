#include <algorithm>
#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/softmax.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

const Shape kShapes[] = {{1}, {0}, {37}, {3, 0, 2}, {4, 1, 5}, {2, 3, 4, 5}};

// Calls f(row) with the logical indices of every line along `dim`.
template <class F>
void for_each_row(const Shape& shape, int dim, const F& f) {
  const std::int64_t step = contiguous_strides(shape)[dim];
  for (std::int64_t first = 0; first < numel(shape); ++first) {
    if (first / step % shape[dim] != 0) continue;
    std::vector<std::int64_t> row;
    for (std::int64_t i = 0; i < shape[dim]; ++i) row.push_back(first + i * step);
    f(row);
  }
}

std::vector<double> softmax_reference(const TestTensor& x, int dim, bool log) {
  std::vector<double> y(static_cast<std::size_t>(x.numel()));
  for_each_row(x.view().shape, dim, [&](const std::vector<std::int64_t>& row) {
    double sum = 0;
    for (const std::int64_t i : row) sum += std::exp(x.get(i));
    for (const std::int64_t i : row) {
      y[static_cast<std::size_t>(i)] = log ? x.get(i) - std::log(sum) : std::exp(x.get(i)) / sum;
    }
  });
  return y;
}

std::vector<double> masked_reference(const TestTensor& x, const TestTensor& mask, int dim) {
  std::vector<double> y(static_cast<std::size_t>(x.numel()));
  for_each_row(x.view().shape, dim, [&](const std::vector<std::int64_t>& row) {
    double sum = 0;
    for (const std::int64_t i : row) sum += mask.get(i) * std::exp(x.get(i));
    for (const std::int64_t i : row) {
      if (mask.get(i) != 0) y[static_cast<std::size_t>(i)] = std::exp(x.get(i)) / sum;
    }
  });
  return y;
}

// dx_i = sum over j of dy_j * d y_j / d x_i, the Jacobian written out.
std::vector<double> softmax_backward_reference(const TestTensor& dy, const TestTensor& y, int dim,
                                               bool log) {
  std::vector<double> dx(static_cast<std::size_t>(y.numel()));
  for_each_row(y.view().shape, dim, [&](const std::vector<std::int64_t>& row) {
    for (const std::int64_t i : row) {
      for (const std::int64_t j : row) {
        const double same = i == j ? 1 : 0;
        const double derivative = log ? same - std::exp(y.get(i)) : y.get(j) * (same - y.get(i));
        dx[static_cast<std::size_t>(i)] += dy.get(j) * derivative;
      }
    }
  });
  return dx;
}

void check_equal(const TestTensor& actual, const std::vector<double>& expected) {
  const std::vector<double> values = actual.values();
  INFO(describe(actual.view()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double allowed = 2 * tolerance(actual.view().dtype, expected[i]);
    if (close(values[i], expected[i], allowed)) continue;
    INFO("element " << i);
    CHECK(values[i] == expected[i]);
  }
}

// The same with the sum over j taken first: for long lines.
std::vector<double> softmax_backward_sums(const TestTensor& dy, const TestTensor& y, int dim,
                                          bool log) {
  std::vector<double> dx(static_cast<std::size_t>(y.numel()));
  for_each_row(y.view().shape, dim, [&](const std::vector<std::int64_t>& row) {
    double sum = 0;
    for (const std::int64_t i : row) sum += log ? dy.get(i) : dy.get(i) * y.get(i);
    for (const std::int64_t i : row) {
      dx[static_cast<std::size_t>(i)] =
          log ? dy.get(i) - std::exp(y.get(i)) * sum : y.get(i) * (dy.get(i) - sum);
    }
  });
  return dx;
}

TestTensor softmax_of(const std::vector<double>& values, bool log) {
  ExecContext ctx = test_context();
  TestTensor x(f32, {static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) x.set(static_cast<std::int64_t>(i), values[i]);
  softmax_forward(ctx, x.view(), 0, log, x.view());
  return x;
}

TestTensor labels(const std::vector<std::int64_t>& values, Layout layout = Layout::contiguous) {
  TestTensor target(i64, {static_cast<std::int64_t>(values.size())}, layout);
  for (std::size_t i = 0; i < values.size(); ++i) {
    target.set(static_cast<std::int64_t>(i), static_cast<double>(values[i]));
  }
  return target;
}

TestTensor log_softmax_of(const TestTensor& logits) {
  ExecContext ctx = test_context();
  TestTensor y(logits.view().dtype, logits.view().shape);
  softmax_forward(ctx, logits.view(), 1, true, y.view());
  return y;
}

// The loss as a function of the logits, straight from its definition.
double loss_reference(const std::vector<double>& logits, const std::vector<std::int64_t>& target,
                      const CrossEntropyParams& params) {
  const std::size_t classes = logits.size() / target.size();
  double loss = 0;
  double counted = 0;
  for (std::size_t row = 0; row < target.size(); ++row) {
    if (target[row] == params.ignore_index) continue;
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += std::exp(logits[row * classes + c]);
    for (std::size_t c = 0; c < classes; ++c) {
      const double even = params.label_smoothing / static_cast<double>(classes);
      const bool hit = c == static_cast<std::size_t>(target[row]);
      const double share = even + (hit ? 1 - params.label_smoothing : 0);
      loss -= share * (logits[row * classes + c] - std::log(sum));
    }
    counted += 1;
  }
  return loss / counted;
}

// dloss * (softmax - share of the target) / counted rows, the derivative written out.
std::vector<double> cross_entropy_backward_reference(const TestTensor& log_probs,
                                                     const std::vector<std::int64_t>& target,
                                                     const CrossEntropyParams& params,
                                                     double dloss) {
  const std::int64_t classes = log_probs.view().size(1);
  const auto counted =
      static_cast<double>(target.size() - static_cast<std::size_t>(std::count(
                                              target.begin(), target.end(), params.ignore_index)));
  std::vector<double> dlogits;
  for (std::int64_t i = 0; i < log_probs.numel(); ++i) {
    const std::int64_t label = target[static_cast<std::size_t>(i / classes)];
    const double hit = label == i % classes ? 1 - params.label_smoothing : 0;
    const double share = hit + params.label_smoothing / static_cast<double>(classes);
    const bool ignored = label == params.ignore_index;
    dlogits.push_back(ignored ? 0 : dloss * (std::exp(log_probs.get(i)) - share) / counted);
  }
  return dlogits;
}

const std::vector<std::int64_t> kTarget{3, 0, -100, 6, 2};
const CrossEntropyParams kCases[] = {{0, -100}, {0.1, -100}, {1, -100}, {0.1, 3}};

std::vector<std::int64_t> target_for(const CrossEntropyParams& params) {
  std::vector<std::int64_t> target = kTarget;
  for (std::int64_t& label : target) {
    if (label == -100) label = params.ignore_index;
  }
  return target;
}

double cross_entropy_of(const TestTensor& log_probs, const TestTensor& target,
                        const CrossEntropyParams& params = {}) {
  ExecContext ctx = test_context();
  const TestTensor loss(log_probs.view().dtype, {});
  cross_entropy_forward(ctx, params, log_probs.view(), target.view(), loss.view());
  return loss.get(0);
}

}  // namespace

TEST_CASE("softmax agrees with its definition along every dimension", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const bool log : {false, true}) {
      for (const Shape& shape : kShapes) {
        for (int dim = 0; dim < shape.size(); ++dim) {
          for (const Layout in : kLayouts) {
            const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(-4, 4));
            for (const Layout out : kOutputLayouts) {
              const TestTensor y(dtype, shape, out);
              softmax_forward(ctx, x.view(), dim, log, y.view());
              INFO("log " << log << " dim " << dim << " of " << describe(x.view()));
              check_equal(y, softmax_reference(x, dim, log));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("the gradient of softmax is its Jacobian times dy", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const bool log : {false, true}) {
      for (const Shape& shape : kShapes) {
        for (int dim = 0; dim < shape.size(); ++dim) {
          for (const Layout layout : kLayouts) {
            const TestTensor x = TestTensor(dtype, shape).fill(Draw(-4, 4));
            const TestTensor y(dtype, shape, Layout::reversed);
            softmax_forward(ctx, x.view(), dim, log, y.view());
            const TestTensor dy = TestTensor(dtype, shape, layout).fill(Draw(-1, 1));
            const TestTensor dx(dtype, shape);
            softmax_backward(ctx, dy.view(), y.view(), dim, log, dx.view());
            INFO("log " << log << " dim " << dim << " dy " << describe(dy.view()));
            check_equal(dx, softmax_backward_reference(dy, y, dim, log));
          }
        }
      }
    }
  }
}

TEST_CASE("softmax takes lines of any length along any dimension", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  Draw draw(-4, 4);
  // Around the lengths at which one thread, a warp or a block gets a line, and what they keep.
  for (const Shape& shape : {Shape{3, 16},
                             {3, 17},
                             {2, 31},
                             {9, 32},
                             {2, 33},
                             {2, 255},
                             {2, 256},
                             {2, 257},
                             {3, 2048},
                             {2, 2049},
                             {2, 5000},
                             {300, 2},
                             {17, 4096}}) {
    for (const int dim : {0, 1}) {
      const TestTensor x = TestTensor(f32, shape).fill(std::ref(draw));
      const TestTensor dy = TestTensor(f32, shape).fill(std::ref(draw));
      TestTensor mask(boolean, shape);
      mask.fill([&] { return draw() > 0 ? 1 : 0; });
      const TestTensor y(f32, shape);
      INFO("dim " << dim << " of " << describe(x.view()));
      masked_softmax_forward(ctx, x.view(), mask.view(), dim, y.view());
      check_equal(y, masked_reference(x, mask, dim));
      for (const bool log : {false, true}) {
        softmax_forward(ctx, x.view(), dim, log, y.view());
        check_equal(y, softmax_reference(x, dim, log));
        const TestTensor dx(f32, shape);
        softmax_backward(ctx, dy.view(), y.view(), dim, log, dx.view());
        check_equal(dx, softmax_backward_sums(dy, y, dim, log));
      }
    }
  }
}

TEST_CASE("softmax stays finite for large logits", "[softmax]") {
  CHECK(softmax_of({1000, 1000}, false).values() == std::vector<double>{0.5, 0.5});
  CHECK(softmax_of({-1000, 0}, true).values() == std::vector<double>{-1000, 0});
}

TEST_CASE("softmax gives minus infinity no weight", "[softmax]") {
  CHECK(softmax_of({-kInf, 2}, false).values() == std::vector<double>{0, 1});
}

TEST_CASE("softmax of a row of minus infinities or with a NaN is NaN", "[softmax]") {
  for (const bool log : {false, true}) {
    for (const std::vector<double>& row :
         {std::vector<double>{-kInf, -kInf}, {kNan, 1}, {1, kNan}}) {
      const TestTensor y = softmax_of(row, log);
      INFO("log " << log << " of " << row[0] << ", " << row[1]);
      CHECK((std::isnan(y.get(0)) && std::isnan(y.get(1))));
    }
  }
}

TEST_CASE("masked softmax is the softmax of what the mask leaves", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  Draw draw(-4, 4);
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : kShapes) {
      for (int dim = 0; dim < shape.size(); ++dim) {
        for (const Layout in : kLayouts) {
          for (const Layout out : kOutputLayouts) {
            const TestTensor x = TestTensor(dtype, shape, in).fill(std::ref(draw));
            TestTensor mask(boolean, shape, in);
            mask.fill([&] { return draw() > 0 ? 1 : 0; });
            const TestTensor y(dtype, shape, out);
            masked_softmax_forward(ctx, x.view(), mask.view(), dim, y.view());
            INFO("dim " << dim << " of " << describe(x.view()));
            check_equal(y, masked_reference(x, mask, dim));
          }
        }
      }
    }
  }
}

TEST_CASE("masked softmax of a row without any true is zero, whatever is in it", "[softmax]") {
  ExecContext ctx = test_context();
  TestTensor x(f32, {3, 2});
  const double values[] = {kNan, kInf, -kInf, kNan, 1, 2};
  for (std::int64_t i = 0; i < 6; ++i) x.set(i, values[i]);
  TestTensor mask(boolean, {3, 2});
  mask.set(5, 1);
  const TestTensor y = TestTensor(f32, {3, 2}).fill([] { return kNan; });
  masked_softmax_forward(ctx, x.view(), mask.view(), 1, y.view());
  CHECK(y.values() == std::vector<double>{0, 0, 0, 0, 0, 1});

  const TestTensor dy = TestTensor(f32, {3, 2}).fill(Draw(-1, 1));
  const TestTensor dx(f32, {3, 2});
  softmax_backward(ctx, dy.view(), y.view(), 1, false, dx.view());
  CHECK(dx.values() == std::vector<double>(6, 0.0));
}

TEST_CASE("masked softmax refuses masks that are not bool", "[softmax]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {2});
  CHECK_THROWS_WITH(masked_softmax_forward(ctx, x.view(), x.view(), 0, x.view()),
                    Contains("bool") && Contains("f32"));
}

TEST_CASE("softmax does not depend on the number of threads", "[softmax]") {
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {200, 100}).fill(Draw(-4, 4));
  const TestTensor one(f32, {200, 100});
  const TestTensor three(f32, {200, 100});
  set_num_threads(1);
  softmax_forward(ctx, x.view(), 1, false, one.view());
  set_num_threads(3);
  softmax_forward(ctx, x.view(), 1, false, three.view());
  set_num_threads(threads);
  CHECK(one.same_bits(three));
}

TEST_CASE("cross entropy agrees with its definition", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const CrossEntropyParams& params : kCases) {
      const std::vector<std::int64_t> target = target_for(params);
      for (const Layout layout : kOutputLayouts) {
        const TestTensor logits = TestTensor(dtype, {5, 7}, layout).fill(Draw(-4, 4));
        const TestTensor log_probs = log_softmax_of(logits);
        const double expected = loss_reference(logits.values(), target, params);
        INFO("smoothing " << params.label_smoothing << " ignore " << params.ignore_index);
        const double loss = cross_entropy_of(log_probs, labels(target, layout), params);
        CHECK(close(loss, expected, tolerance(dtype, expected)));
      }
    }
  }
}

TEST_CASE("cross entropy takes any number of rows and classes", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  Draw draw(0, 1);
  for (const Shape& shape : {Shape{3, 1}, {1100, 2}, {513, 17}, {40, 1000}, {2, 3000}}) {
    for (const CrossEntropyParams& params : {CrossEntropyParams{}, CrossEntropyParams{0.1, 0}}) {
      std::vector<std::int64_t> target(static_cast<std::size_t>(shape[0]));
      for (std::int64_t& label : target) {
        label = static_cast<std::int64_t>(draw() * static_cast<double>(shape[1]));
      }
      target[0] = shape[1] - 1;
      const TestTensor logits = TestTensor(f32, shape).fill(std::ref(draw));
      const TestTensor log_probs = log_softmax_of(logits);
      const double expected = loss_reference(logits.values(), target, params);
      INFO(describe(logits.view()) << " smoothing " << params.label_smoothing);
      CHECK(close(cross_entropy_of(log_probs, labels(target), params), expected,
                  tolerance(f32, expected)));

      TestTensor dloss(f32, {});
      dloss.set(0, 2);
      const TestTensor dlogits(f32, shape);
      cross_entropy_backward(ctx, params, dloss.view(), log_probs.view(), labels(target).view(),
                             dlogits.view());
      check_equal(dlogits, cross_entropy_backward_reference(log_probs, target, params, 2));
    }
  }
}

TEST_CASE("the gradient of cross entropy is the slope of the loss", "[softmax]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr double h = 1e-5;
  for (const CrossEntropyParams& params : kCases) {
    const std::vector<std::int64_t> target = target_for(params);
    for (const Layout layout : kOutputLayouts) {
      const TestTensor logits = TestTensor(f64, {5, 7}).fill(Draw(-4, 4));
      const TestTensor log_probs = log_softmax_of(logits);
      TestTensor dloss(f64, {});
      dloss.set(0, 2.5);
      TestTensor dlogits = TestTensor(f64, {5, 7}, layout).fill([] { return kNan; });
      cross_entropy_backward(ctx, params, dloss.view(), log_probs.view(), labels(target).view(),
                             dlogits.view());
      for (std::size_t i = 0; i < 35; ++i) {
        std::vector<double> up = logits.values();
        std::vector<double> down = up;
        up[i] += h;
        down[i] -= h;
        const double slope =
            (loss_reference(up, target, params) - loss_reference(down, target, params)) / (2 * h);
        INFO("smoothing " << params.label_smoothing << " ignore " << params.ignore_index
                          << " element " << i);
        CHECK(close(dlogits.get(static_cast<std::int64_t>(i)), 2.5 * slope, 1e-8));
      }
    }
  }
}

TEST_CASE("cross entropy without any counted row is NaN with a zero gradient", "[softmax]") {
  ExecContext ctx = test_context();
  const TestTensor log_probs(f32, {2, 3});
  const TestTensor target = labels({-100, -100});
  CHECK(std::isnan(cross_entropy_of(log_probs, target)));
  CHECK(std::isnan(cross_entropy_of(TestTensor(f32, {0, 3}), labels({}))));

  TestTensor dloss(f32, {});
  dloss.set(0, 1);
  TestTensor dlogits = TestTensor(f32, {2, 3}).fill([] { return kNan; });
  cross_entropy_backward(ctx, {}, dloss.view(), log_probs.view(), target.view(), dlogits.view());
  CHECK(dlogits.values() == std::vector<double>(6, 0.0));
}

TEST_CASE("cross entropy leaves impossible classes out unless it smooths", "[softmax]") {
  TestTensor log_probs(f32, {1, 2});
  log_probs.set(0, 0);
  log_probs.set(1, -kInf);
  CHECK(cross_entropy_of(log_probs, labels({0})) == 0);
  CHECK(cross_entropy_of(log_probs, labels({0}), {0.1, -100}) == kInf);
}

TEST_CASE("cross entropy names row, label and classes of a wrong target", "[softmax]") {
  const TestTensor log_probs(f32, {3, 4});
  for (const std::int64_t wrong : {4, -1, 77}) {
    CHECK_THROWS_WITH(
        cross_entropy_of(log_probs, labels({0, 1, wrong})),
        Contains("row 2") && Contains("is " + std::to_string(wrong)) && Contains("4 classes"));
  }
}

TEST_CASE("cross entropy refuses targets that are not i64", "[softmax]") {
  CHECK_THROWS_WITH(cross_entropy_of(TestTensor(f32, {2, 3}), TestTensor(i32, {2})),
                    Contains("i64") && Contains("i32"));
}
