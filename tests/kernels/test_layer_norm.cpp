#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/layer_norm.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kEpsilon = 1e-3;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A shape whose dimensions from `first` on are normalised.
struct Case {
  Shape shape;
  int first;
  Shape rows() const { return shape.slice(0, first); }
  Shape row() const { return shape.slice(first, shape.size()); }
};

const Case kCases[] = {{{7}, 0},         {{1}, 0},     {{0, 3}, 1},       {{3, 0}, 1},
                       {{41, 5}, 1},     {{3, 67}, 1}, {{4, 1}, 1},       {{2, 3, 4}, 1},
                       {{2, 3, 4}, 2},   {{70, 9}, 1}, {{2, 3, 4, 5}, 1}, {{2, 3, 4, 5}, 2},
                       {{2, 3, 4, 5}, 3}};

/// Every operand of both kernels, the optional ones where `affine`.
struct Operands {
  TestTensor x, dy, weight, bias;
  TestTensor y, mean, rstd, dx, dweight, dbias;
  DType dtype;
  bool affine;

  Operands(DType element, const Case& c, Layout in, Layout out, bool is_affine)
      : x(element, c.shape, in),
        dy(element, c.shape, in),
        weight(element, c.row(), in),
        bias(element, c.row(), in),
        y(element, c.shape, out),
        mean(element, c.rows(), out),
        rstd(element, c.rows(), out),
        dx(element, c.shape, out),
        dweight(element, c.row(), out),
        dbias(element, c.row(), out),
        dtype(element),
        affine(is_affine) {
    Draw draw(-2, 2);
    for (TestTensor* tensor : {&x, &dy, &weight, &bias}) tensor->fill(std::ref(draw));
    for (TestTensor* tensor : {&y, &mean, &rstd, &dx, &dweight, &dbias}) {
      tensor->fill([] { return kNan; });
    }
  }

  void run() const {
    ExecContext ctx = test_context();
    layer_norm_forward(ctx, x.view(), affine ? weight.view() : View{},
                       affine ? bias.view() : View{}, kEpsilon, y.view(), mean.view(), rstd.view());
    layer_norm_backward(ctx, dy.view(), x.view(), mean.view(), rstd.view(),
                        affine ? weight.view() : View{}, dx.view(), dweight.view(), dbias.view());
  }
};

void check_element(const char* what, const TestTensor& actual, std::int64_t i, double expected,
                   double allowed) {
  if (close(actual.get(i), expected, allowed)) return;
  INFO(what << " element " << i);
  CHECK(actual.get(i) == expected);
}

void check_against_definition(const Operands& o, const Case& c) {
  const std::int64_t rows = numel(c.rows());
  const std::int64_t count = numel(c.row());
  // `magnitude` is that of the numbers that the value was computed from.
  const auto allowed = [&](double magnitude) { return 4 * tolerance(o.dtype, magnitude); };
  std::vector<double> dweight(static_cast<std::size_t>(count));
  std::vector<double> dbias(static_cast<std::size_t>(count));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t first = row * count;
    auto row_mean = [&](const std::function<double(std::int64_t)>& f) {
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) sum += f(i);
      return sum / static_cast<double>(std::max<std::int64_t>(count, 1));
    };
    const double mean = row_mean([&](std::int64_t i) { return o.x.get(first + i); });
    const double variance =
        row_mean([&](std::int64_t i) { return std::pow(o.x.get(first + i) - mean, 2); });
    const double rstd = 1 / std::sqrt(variance + kEpsilon);
    check_element("mean", o.mean, row, mean, allowed(1));
    check_element("rstd", o.rstd, row, rstd, allowed(rstd));
    auto xhat = [&](std::int64_t i) { return (o.x.get(first + i) - mean) * rstd; };
    auto g = [&](std::int64_t i) { return o.dy.get(first + i) * (o.affine ? o.weight.get(i) : 1); };
    const double mean_g = row_mean(g);
    const double mean_g_xhat = row_mean([&](std::int64_t i) { return g(i) * xhat(i); });
    for (std::int64_t i = 0; i < count; ++i) {
      const double y = o.affine ? xhat(i) * o.weight.get(i) + o.bias.get(i) : xhat(i);
      check_element("y", o.y, first + i, y, allowed(2 * rstd));
      check_element("dx", o.dx, first + i, rstd * (g(i) - mean_g - xhat(i) * mean_g_xhat),
                    allowed(10 * rstd));
      dweight[static_cast<std::size_t>(i)] += o.dy.get(first + i) * xhat(i);
      dbias[static_cast<std::size_t>(i)] += o.dy.get(first + i);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const double rounding = allowed(static_cast<double>(2 * rows));
    check_element("dweight", o.dweight, i, dweight[static_cast<std::size_t>(i)], rounding);
    check_element("dbias", o.dbias, i, dbias[static_cast<std::size_t>(i)], rounding);
  }
}

}  // namespace

TEST_CASE("layer norm and its gradients agree with their definition", "[layer_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : kCases) {
      for (const Layout in : kLayouts) {
        for (const Layout out : kOutputLayouts) {
          for (const bool affine : {false, true}) {
            const Operands o(dtype, c, in, out, affine);
            o.run();
            INFO(describe(o.x.view()) << " from dimension " << c.first << " into "
                                      << describe(o.y.view()) << " affine " << affine);
            check_against_definition(o, c);
          }
        }
      }
    }
  }
}

TEST_CASE("layer norm of rows round a vector, a warp, a block and a chunk", "[layer_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const Case& c : {Case{{40, 4}, 1}, Case{{9, 127}, 1}, Case{{5, 128}, 1}, Case{{3, 1023}, 1},
                        Case{{3, 1024}, 1}, Case{{2, 1028}, 1}, Case{{4100, 3}, 1}}) {
    for (const DType dtype : {f32, f64}) {
      const Operands o(dtype, c, Layout::contiguous, Layout::contiguous, true);
      o.run();
      INFO(describe(o.x.view()));
      check_against_definition(o, c);
    }
  }
}

TEST_CASE("layer norm does not depend on where its operands begin", "[layer_norm]") {
  ExecContext ctx = test_context();
  const Operands whole(f32, {{7, 133}, 1}, Layout::contiguous, Layout::contiguous, true);
  Operands aligned(f32, {{7, 132}, 1}, Layout::contiguous, Layout::contiguous, true);
  for (std::int64_t i = 0; i < 132; ++i) {
    aligned.weight.set(i, whole.weight.get(i + 1));
    aligned.bias.set(i, whole.bias.get(i + 1));
    for (std::int64_t row = 0; row < 7; ++row) {
      aligned.x.set(row * 132 + i, whole.x.get(row * 133 + i + 1));
      aligned.dy.set(row * 132 + i, whole.dy.get(row * 133 + i + 1));
    }
  }
  aligned.run();
  const View x = without_first(whole.x.view(), 1);
  const View weight = without_first(whole.weight.view(), 0);
  layer_norm_forward(ctx, x, weight, without_first(whole.bias.view(), 0), kEpsilon,
                     without_first(whole.y.view(), 1), whole.mean.view(), whole.rstd.view());
  layer_norm_backward(ctx, without_first(whole.dy.view(), 1), x, whole.mean.view(),
                      whole.rstd.view(), weight, without_first(whole.dx.view(), 1),
                      without_first(whole.dweight.view(), 0), without_first(whole.dbias.view(), 0));
  CHECK(whole.mean.same_bits(aligned.mean));
  CHECK(whole.rstd.same_bits(aligned.rstd));
  for (std::int64_t i = 0; i < 132; ++i) {
    CHECK(whole.dweight.get(i + 1) == aligned.dweight.get(i));
    CHECK(whole.dbias.get(i + 1) == aligned.dbias.get(i));
    for (std::int64_t row = 0; row < 7; ++row) {
      CHECK(whole.y.get(row * 133 + i + 1) == aligned.y.get(row * 132 + i));
      CHECK(whole.dx.get(row * 133 + i + 1) == aligned.dx.get(row * 132 + i));
    }
  }
}

TEST_CASE("layer norm keeps a small variance beside a large mean", "[layer_norm]") {
  ExecContext ctx = test_context();
  TestTensor x(f32, {1, 1000});
  for (std::int64_t i = 0; i < 1000; ++i) x.set(i, 10000 + static_cast<double>(i % 2));
  const TestTensor y(f32, {1, 1000});
  const TestTensor mean(f32, {1});
  const TestTensor rstd(f32, {1});
  layer_norm_forward(ctx, x.view(), {}, {}, 0, y.view(), mean.view(), rstd.view());
  CHECK(mean.get(0) == 10000.5);
  CHECK(rstd.get(0) == 2);
  CHECK(y.get(0) == -1);
  CHECK(y.get(1) == 1);
}

TEST_CASE("layer norm of a constant row is the bias", "[layer_norm]") {
  ExecContext ctx = test_context();
  const TestTensor x = TestTensor(f32, {1, 5}).fill([] { return 0.3; });
  const TestTensor bias = TestTensor(f32, {5}).fill(Draw(-1, 1));
  const TestTensor y(f32, {1, 5});
  const TestTensor mean(f32, {1});
  const TestTensor rstd(f32, {1});
  layer_norm_forward(ctx, x.view(), {}, bias.view(), 1e-5, y.view(), mean.view(), rstd.view());
  CHECK(y.values() == bias.values());
}

TEST_CASE("layer norm computes only the gradients that are wanted", "[layer_norm]") {
  ExecContext ctx = test_context();
  const Case c{{9, 33}, 1};
  const Operands all(f32, c, Layout::contiguous, Layout::contiguous, true);
  all.run();
  for (int wanted = 0; wanted < 3; ++wanted) {
    const TestTensor dx(f32, c.shape);
    const TestTensor dweight(f32, c.row());
    const TestTensor dbias(f32, c.row());
    const TestTensor* const results[] = {&dx, &dweight, &dbias};
    const TestTensor* const expected[] = {&all.dx, &all.dweight, &all.dbias};
    View views[3];
    views[wanted] = results[wanted]->view();
    layer_norm_backward(ctx, all.dy.view(), all.x.view(), all.mean.view(), all.rstd.view(),
                        all.weight.view(), views[0], views[1], views[2]);
    INFO("gradient " << wanted);
    CHECK(results[wanted]->same_bits(*expected[wanted]));
  }
}

TEST_CASE("layer norm does not depend on the number of threads", "[layer_norm][cpu]") {
  const int threads = max_threads();
  const Case c{{500, 300}, 1};
  const Operands one(f32, c, Layout::contiguous, Layout::contiguous, true);
  const Operands three = one;
  set_num_threads(1);
  one.run();
  set_num_threads(3);
  three.run();
  set_num_threads(threads);
  CHECK(one.y.same_bits(three.y));
  CHECK(one.dx.same_bits(three.dx));
  CHECK(one.dweight.same_bits(three.dweight));
  CHECK(one.dbias.same_bits(three.dbias));
}

TEST_CASE("layer norm refuses dtypes it does not have", "[layer_norm]") {
  ExecContext ctx = test_context();
  const TestTensor x(i32, {2, 3});
  CHECK_THROWS_WITH(layer_norm_forward(ctx, x.view(), {}, {}, 1e-5, x.view(), x.view(), x.view()),
                    Contains("layer_norm") && Contains("i32"));
}
