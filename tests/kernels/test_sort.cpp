#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/sort.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

bool less(double a, double b) {
  return a < b || (b != b && a == a);
}

/// The positions of a line's elements in stable order.
std::vector<double> order_of(const std::vector<double>& line, bool descending) {
  std::vector<double> order(line.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](double a, double b) {
    const double left = line[static_cast<std::size_t>(a)];
    const double right = line[static_cast<std::size_t>(b)];
    return descending ? less(right, left) : less(left, right);
  });
  return order;
}

/// Few different numbers, so that some are equal; NaN and infinities where there are any.
double draw_number(Draw& draw, DType dtype) {
  const double value = std::floor(draw());
  if (!is_floating_point(dtype)) return dtype == boolean || dtype == u8 ? std::abs(value) : value;
  if (value == 3) return kNan;
  if (value == -3) return -kInf;
  return value == 0 && draw() < 0 ? -0.0 : value;
}

void check_sort(const TestTensor& x, int dim, std::int64_t count, const SortParams& params,
                Layout layout) {
  ExecContext ctx = test_context();
  const Shape& shape = x.geometry().shape;
  Shape out_shape = shape;
  out_shape[dim] = count;
  const TestTensor values(x.geometry().dtype, out_shape, layout);
  const TestTensor indices(i64, out_shape, layout);
  sort(ctx, params, x.view(), dim, values.view(), indices.view());
  INFO(describe(x) << " dim " << dim << " first " << count);
  const std::int64_t inner = contiguous_strides(shape)[dim];
  const std::int64_t length = shape[dim];
  std::int64_t wrong = 0;
  for (std::int64_t line = 0; length > 0 && line < x.numel() / length; ++line) {
    const std::int64_t from = line / inner * inner * length + line % inner;
    const std::int64_t to = line / inner * inner * count + line % inner;
    std::vector<double> elements;
    for (std::int64_t i = 0; i < length; ++i) elements.push_back(x.get(from + i * inner));
    std::vector<double> expected = order_of(elements, params.descending);
    expected.resize(static_cast<std::size_t>(count));
    std::vector<double> actual;
    for (std::int64_t i = 0; i < count; ++i) {
      const double position = indices.get(to + i * inner);
      const double value = values.get(to + i * inner);
      if (!close(value, elements[static_cast<std::size_t>(position)], 0)) ++wrong;
      actual.push_back(position);
    }
    if (!params.sorted) {
      std::sort(actual.begin(), actual.end());
      std::sort(expected.begin(), expected.end());
    }
    if (actual != expected) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("sort is stable along every dimension, in every dtype and layout", "[sort][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(-4, 4);
  for (const DType dtype : {f32, f16, bf16, f64, i8, u8, i32, i64, boolean}) {
    for (const Shape& shape : {Shape{1}, Shape{0}, Shape{100}, Shape{3, 40, 4}, Shape{2, 0, 3}}) {
      for (const Layout layout : kLayouts) {
        const TestTensor x =
            TestTensor(dtype, shape, layout).fill([&] { return draw_number(draw, dtype); });
        for (int dim = 0; dim < shape.size(); ++dim) {
          for (const bool descending : {false, true}) {
            const SortParams params{.descending = descending};
            check_sort(x, dim, shape[dim], params, Layout::contiguous);
            check_sort(x, dim, shape[dim], params, Layout::sliced);
            check_sort(x, dim, shape[dim] / 3, params, Layout::reversed);
            check_sort(x, dim, shape[dim] / 2, {.descending = descending, .sorted = false},
                       Layout::contiguous);
          }
        }
      }
    }
  }
}

TEST_CASE("sort knows the ends of every dtype", "[sort][cpu]") {
  ExecContext ctx = test_context();
  struct Row {
    DType dtype;
    std::vector<double> values;
    std::vector<double> sorted;
  };
  const double tiny = 5e-324;
  const std::vector<Row> rows{
      {f64, {kInf, tiny, -tiny, -kInf, 1e308}, {-kInf, -tiny, tiny, 1e308, kInf}},
      {f32, {kInf, 1e-45, -1e-45, -kInf, 1e38}, {-kInf, -0x1p-149, 0x1p-149, double{1e38f}, kInf}},
      {i32, {2147483647, -2147483648.0, 0, -1}, {-2147483648.0, -1, 0, 2147483647}},
      {i64, {0x1p62, -0x1p63, 0, -1}, {-0x1p63, -1, 0, 0x1p62}},
      {i8, {127, -128, 0, -1}, {-128, -1, 0, 127}},
      {u8, {255, 128, 0, 127}, {0, 127, 128, 255}},
  };
  for (const Row& row : rows) {
    const Shape shape{static_cast<std::int64_t>(row.values.size())};
    TestTensor x(row.dtype, shape);
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      x.set(static_cast<std::int64_t>(i), row.values[i]);
    }
    const TestTensor values(row.dtype, shape);
    const TestTensor indices(i64, shape);
    sort(ctx, {}, x.view(), 0, values.view(), indices.view());
    INFO(name(row.dtype));
    CHECK(values.values() == row.sorted);
  }
}

TEST_CASE("sort goes without values", "[sort][cpu]") {
  ExecContext ctx = test_context();
  TestTensor x(f32, {3});
  x.set(0, 2);
  const TestTensor indices(i64, {3});
  sort(ctx, {.descending = true}, x.view(), 0, View(), indices.view());
  CHECK(indices.values() == std::vector<double>{0, 1, 2});
}

TEST_CASE("sort does not depend on the number of threads", "[sort][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {50, 999}).fill(Draw(-1, 1));
  const TestTensor one(i64, {50, 400});
  const TestTensor three(i64, {50, 400});
  const SortParams params{.sorted = false};
  set_num_threads(1);
  sort(ctx, params, x.view(), 1, View(), one.view());
  set_num_threads(3);
  sort(ctx, params, x.view(), 1, View(), three.view());
  set_num_threads(threads);
  CHECK(one.same_bits(three));
}
