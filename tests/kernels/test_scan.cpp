#include <cmath>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/scan.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

const Shape kShapes[] = {{1}, {0}, {700}, {5, 0}, {3, 4, 5}, {40, 600}, {2, 3, 1, 4}};

/// f(x, its first element of each line, the distance of those along it).
template <class Line>
std::vector<double> by_lines(const TestTensor& x, int dim, const Line& line) {
  std::vector<double> values = x.values();
  const Shape& shape = x.geometry().shape;
  const std::int64_t inner = contiguous_strides(shape)[dim];
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (i / inner % shape[dim] == 0) line(values.data() + i, inner, shape[dim]);
  }
  return values;
}

std::vector<double> sums(const TestTensor& x, int dim, bool reverse) {
  return by_lines(x, dim, [&](double* line, std::int64_t step, std::int64_t count) {
    for (std::int64_t i = 1; i < count; ++i) {
      if (reverse) {
        line[(count - 1 - i) * step] += line[(count - i) * step];
      } else {
        line[i * step] += line[(i - 1) * step];
      }
    }
  });
}

void check_close(const TestTensor& actual, const std::vector<double>& expected) {
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < actual.numel(); ++i) {
    const double wanted = expected[static_cast<std::size_t>(i)];
    if (!close(actual.get(i), wanted, tolerance(actual.geometry().dtype, wanted))) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("cumsum agrees with a plain loop, both ways", "[scan][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64, i32, i64}) {
    for (const Shape& shape : kShapes) {
      for (const Layout in : kLayouts) {
        const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(-9, 9));
        for (int dim = 0; dim < shape.size(); ++dim) {
          for (const bool reverse : {false, true}) {
            for (const Layout layout : kOutputLayouts) {
              const TestTensor out(dtype, shape, layout);
              cumsum(ctx, x.view(), dim, reverse, out.view());
              INFO(describe(x) << " dim " << dim << " to " << describe(out));
              check_close(out, sums(x, dim, reverse));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("cumprod agrees with a plain loop", "[scan][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : kShapes) {
      for (const Layout in : kLayouts) {
        const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(0.9, 1.1));
        for (int dim = 0; dim < shape.size(); ++dim) {
          const TestTensor out(dtype, shape, Layout::sliced);
          cumprod(ctx, x.view(), dim, out.view());
          INFO(describe(x) << " dim " << dim);
          check_close(out, by_lines(x, dim, [](double* line, std::int64_t step, std::int64_t n) {
                        for (std::int64_t i = 1; i < n; ++i) line[i * step] *= line[(i - 1) * step];
                      }));
        }
      }
    }
  }
}

TEST_CASE("the gradient of cumprod is right at zeros", "[scan][cpu]") {
  ExecContext ctx = test_context();
  struct Row {
    std::vector<double> x;
    std::vector<double> gradient;  // of the sum of the running products
  };
  // d/dx[i] of x0 + x0 x1 + x0 x1 x2.
  for (const Row& row :
       {Row{{2, 3, 5}, {1 + 3 + 15, 2 + 10, 6}}, Row{{0, 3, 5}, {19, 0, 0}},
        Row{{2, 0, 5}, {1, 12, 0}}, Row{{0, 0, 5}, {1, 0, 0}}, Row{{2, 3, 0}, {4, 2, 6}}}) {
    TestTensor x(f64, {3});
    for (std::int64_t i = 0; i < 3; ++i) x.set(i, row.x[static_cast<std::size_t>(i)]);
    const TestTensor dy = TestTensor(f64, {3}).fill([] { return 1.0; });
    const TestTensor dx(f64, {3}, Layout::sliced);
    cumprod_backward(ctx, dy.view(), x.view(), 0, dx.view());
    CHECK(dx.values() == row.gradient);
  }
}

TEST_CASE("integer sums and products wrap around", "[scan][cpu]") {
  ExecContext ctx = test_context();
  TestTensor x(i32, {2});
  x.set(0, 2147483647);
  x.set(1, 2);
  const TestTensor out(i32, {2});
  cumsum(ctx, x.view(), 0, false, out.view());
  CHECK(out.get(1) == -2147483647.0);
  cumprod(ctx, x.view(), 0, out.view());
  CHECK(out.get(1) == -2);
}

TEST_CASE("the error of an f32 cumsum does not grow with the count", "[scan][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor x = TestTensor(f32, {1'000'000}).fill([] { return 0.1; });
  const TestTensor out(f32, {1'000'000});
  cumsum(ctx, x.view(), 0, false, out.view());
  CHECK(out.get(999'999) == Approx(1e6 * double{0.1f}).epsilon(1e-6));
}

TEST_CASE("scans do not depend on the number of threads", "[scan][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {301, 701}).fill(Draw(-1, 1));
  for (const int dim : {0, 1}) {
    const TestTensor one(f32, {301, 701});
    const TestTensor three(f32, {301, 701});
    set_num_threads(1);
    cumsum(ctx, x.view(), dim, false, one.view());
    set_num_threads(3);
    cumsum(ctx, x.view(), dim, false, three.view());
    set_num_threads(threads);
    CHECK(one.same_bits(three));
  }
}

TEST_CASE("scans refuse what has no sums", "[scan][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor x(u8, {2});
  CHECK_THROWS_WITH(cumsum(ctx, x.view(), 0, false, x.view()),
                    Contains("cumsum") && Contains("u8"));
}
