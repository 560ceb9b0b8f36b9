#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/reduce.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Bit d of `mask` folds dimension d.
Shape folded_shape(Shape shape, unsigned mask) {
  for (int dim = 0; dim < shape.size(); ++dim) {
    if ((mask >> dim & 1u) != 0) shape[dim] = 1;
  }
  return shape;
}

// Index into a contiguous tensor of shape `to` of element i of one of shape `from`.
std::int64_t folded_index(std::int64_t i, const Shape& from, const Shape& to) {
  const Strides strides = contiguous_strides(to);
  std::int64_t result = 0;
  for (int dim = from.size() - 1; dim >= 0; --dim) {
    if (to[dim] != 1) result += i % from[dim] * strides[dim];
    i /= from[dim];
  }
  return result;
}

std::vector<double> reference(ReduceOp op, const TestTensor& x, const Shape& shape) {
  const double start = op == ReduceOp::max ? -kInf : op == ReduceOp::min ? kInf : 0;
  std::vector<double> result(static_cast<std::size_t>(numel(shape)), start);
  const Shape from = x.view().shape;
  const std::vector<double> values = x.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto element = static_cast<std::int64_t>(i);
    double& r = result[static_cast<std::size_t>(folded_index(element, from, shape))];
    switch (op) {
      case ReduceOp::max: r = std::max(r, values[i]); break;
      case ReduceOp::min: r = std::min(r, values[i]); break;
      default: r += values[i];
    }
  }
  if (op == ReduceOp::mean) {
    for (double& r : result)
      r /= static_cast<double>(x.numel()) / static_cast<double>(numel(shape));
  }
  return result;
}

void check_reduce(ReduceOp op, const TestTensor& x, unsigned mask, Layout layout) {
  ExecContext ctx = test_context();
  const DType dtype = x.view().dtype;
  TestTensor out(dtype, folded_shape(x.view().shape, mask), layout);
  const std::vector<double> expected = reference(op, x, out.view().shape);
  reduce(ctx, op, x.view(), out.view());
  INFO(name(op) << " of " << describe(x.view()) << " to " << describe(out.view()));
  const std::vector<double> actual = out.values();
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("element " << i);
    if (!close(actual[i], expected[i], 10 * tolerance(dtype, expected[i]))) {
      CHECK(actual[i] == expected[i]);
    }
  }
}

double reduce_all(ReduceOp op, const TestTensor& x) {
  ExecContext ctx = test_context();
  const TestTensor out(x.view().dtype, Dims::filled(x.view().ndim(), 1));
  reduce(ctx, op, x.view(), out.view());
  return out.get(0);
}

std::int64_t argmax_of(const std::vector<double>& values) {
  ExecContext ctx = test_context();
  TestTensor x(f32, {static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) x.set(static_cast<std::int64_t>(i), values[i]);
  const TestTensor out(i64, {1});
  argmax(ctx, x.view(), 0, out.view());
  return static_cast<std::int64_t>(out.get(0));
}

}  // namespace

TEST_CASE("reductions agree with plain loops for every set of dimensions", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::min}) {
    for (const DType dtype : {f32, f64, i32, i64}) {
      if (op == ReduceOp::mean && !is_floating_point(dtype)) continue;
      for (const Shape& shape :
           {Shape{}, Shape{1}, Shape{37}, Shape{2, 3, 4, 5}, Shape{4, 1, 70}}) {
        for (const Layout in : kLayouts) {
          const TestTensor x = TestTensor(dtype, shape, in).fill(Draw(-9, 9));
          for (unsigned mask = 0; mask < 1u << shape.size(); ++mask) {
            check_reduce(op, x, mask, Layout::contiguous);
            check_reduce(op, x, mask, Layout::reversed);
          }
        }
      }
    }
  }
}

TEST_CASE("long reductions cross blocks, tiles and chunks", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max}) {
    for (const Shape& shape : {Shape{40007}, Shape{2, 20011}, Shape{1500, 3}, Shape{150, 1031}}) {
      for (const Layout in : kLayouts) {
        const TestTensor x = TestTensor(f32, shape, in).fill(Draw(1, 2));
        for (unsigned mask = 1; mask < 1u << shape.size(); ++mask) {
          check_reduce(op, x, mask, Layout::contiguous);
        }
      }
    }
  }
}

TEST_CASE("reductions of lengths round a vector, a warp, a block and a chunk", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const std::int64_t count : {3, 4, 5, 31, 33, 127, 128, 129, 1023, 1024, 1025, 4097, 8192}) {
    for (const DType dtype : {f32, f64, i32}) {
      const TestTensor rows = TestTensor(dtype, {3, count}).fill(Draw(1, 99));
      check_reduce(ReduceOp::sum, rows, 2, Layout::contiguous);
      check_reduce(ReduceOp::max, rows, 3, Layout::contiguous);
      const TestTensor columns = TestTensor(dtype, {count, 5}).fill(Draw(1, 99));
      check_reduce(ReduceOp::sum, columns, 1, Layout::contiguous);
      check_reduce(ReduceOp::min, columns, 1, Layout::sliced);
    }
  }
}

TEST_CASE("reductions of more columns than a grid holds at once", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  // On CUDA a block takes 64 columns and there are at most 2112 blocks.
  const TestTensor x = TestTensor(f64, {8, 136'000}).fill(Draw(1, 99));
  check_reduce(ReduceOp::sum, x, 1, Layout::contiguous);
}

TEST_CASE("reductions of as many columns as a vector, a warp, a block and more", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const std::int64_t count : {4, 6, 32, 127, 128, 129, 256, 1025}) {
    for (const DType dtype : {f32, f64}) {
      const TestTensor x = TestTensor(dtype, {2, 9, count}).fill(Draw(1, 99));
      check_reduce(ReduceOp::sum, x, 2, Layout::contiguous);
      check_reduce(ReduceOp::max, x, 3, Layout::reversed);
    }
  }
}

TEST_CASE("a sum does not depend on where its operand begins", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Shape& shape : {Shape{9001}, Shape{5, 301}, Shape{12, 3, 25}, Shape{4, 1, 2053}}) {
    const int last = shape.size() - 1;
    const TestTensor x = TestTensor(f32, shape).fill(Draw(-1, 1));
    const View tail = without_first(x.view(), last);
    TestTensor aligned(f32, tail.shape);
    const std::int64_t row = shape[last];
    for (std::int64_t i = 0, to = 0; i < x.numel(); ++i) {
      if (i % row != 0) aligned.set(to++, x.get(i));
    }
    for (int dim = 0; dim < shape.size(); ++dim) {
      const TestTensor from_tail(f32, folded_shape(tail.shape, 1u << dim));
      const TestTensor from_aligned(f32, folded_shape(tail.shape, 1u << dim));
      reduce(ctx, ReduceOp::sum, tail, from_tail.view());
      reduce(ctx, ReduceOp::sum, aligned.view(), from_aligned.view());
      INFO(to_string(shape) << " dimension " << dim);
      CHECK(from_tail.same_bits(from_aligned));
    }
  }
}

TEST_CASE("the error of an f32 sum does not grow with the count", "[reduce]") {
  const TestTensor x = TestTensor(f32, {1000000}).fill([] { return 0.1; });
  CHECK(reduce_all(ReduceOp::sum, x) == Approx(1e6 * double{0.1f}).epsilon(1e-6));
}

TEST_CASE("empty sums are 0 and empty means NaN", "[reduce]") {
  const TestTensor x(f32, {0, 3});
  CHECK(reduce_all(ReduceOp::sum, x) == 0);
  CHECK(std::isnan(reduce_all(ReduceOp::mean, x)));
}

TEST_CASE("an empty max or min throws and names the shape", "[reduce]") {
  const TestTensor x(f32, {0, 3});
  CHECK_THROWS_WITH(reduce_all(ReduceOp::max, x), Contains("max") && Contains("[0, 3]"));
  CHECK_THROWS_WITH(reduce_all(ReduceOp::min, x), Contains("min") && Contains("[0, 3]"));
}

TEST_CASE("reductions of nothing to nothing do nothing", "[reduce]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {0, 3});
  const TestTensor out(f32, {0, 1});
  CHECK_NOTHROW(reduce(ctx, ReduceOp::max, x.view(), out.view()));
}

TEST_CASE("max and min return NaN wherever it stands", "[reduce]") {
  for (const std::int64_t position : {0, 5, 31, 36}) {
    TestTensor x = TestTensor(f32, {37}).fill([] { return 1.0; });
    x.set(position, kNan);
    INFO("NaN at " << position);
    CHECK(std::isnan(reduce_all(ReduceOp::max, x)));
    CHECK(std::isnan(reduce_all(ReduceOp::min, x)));
  }
}

TEST_CASE("max of infinities", "[reduce]") {
  const TestTensor x = TestTensor(f64, {20}).fill([] { return -kInf; });
  CHECK(reduce_all(ReduceOp::max, x) == -kInf);
}

TEST_CASE("integer sums wrap around", "[reduce]") {
  TestTensor x(i32, {2});
  x.set(0, 2147483647);
  x.set(1, 1);
  CHECK(reduce_all(ReduceOp::sum, x) == -2147483648.0);
}

TEST_CASE("mean of integers is refused", "[reduce]") {
  CHECK_THROWS_WITH(reduce_all(ReduceOp::mean, TestTensor(i64, {2})),
                    Contains("mean") && Contains("i64"));
}

TEST_CASE("reductions do not depend on the number of threads", "[reduce][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {301, 701}).fill(Draw(-1, 1));
  for (unsigned mask = 1; mask < 4; ++mask) {
    const Shape shape = folded_shape(x.view().shape, mask);
    const TestTensor one(f32, shape);
    const TestTensor three(f32, shape);
    set_num_threads(1);
    reduce(ctx, ReduceOp::sum, x.view(), one.view());
    set_num_threads(3);
    reduce(ctx, ReduceOp::sum, x.view(), three.view());
    set_num_threads(threads);
    INFO("to " << to_string(shape));
    CHECK(one.same_bits(three));
  }
}

TEST_CASE("argmax agrees with a plain loop along every dimension", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape shape{3, 4, 5};
  Draw draw(-4, 4);
  for (const DType dtype : {f32, f64, i32, i64}) {
    for (const Layout in : kLayouts) {
      const TestTensor x = TestTensor(dtype, shape, in).fill([&] { return std::floor(draw()); });
      for (int dim = 0; dim < 3; ++dim) {
        const Shape out_shape = folded_shape(shape, 1u << dim);
        const TestTensor out(i64, out_shape, Layout::sliced);
        argmax(ctx, x.view(), dim, out.view());

        std::vector<double> best(static_cast<std::size_t>(out.numel()), -kInf);
        std::vector<double> index(best.size(), 0);
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          const auto o = static_cast<std::size_t>(folded_index(i, shape, out_shape));
          if (x.get(i) > best[o]) {
            best[o] = x.get(i);
            index[o] = static_cast<double>(i / contiguous_strides(shape)[dim] % shape[dim]);
          }
        }
        INFO(describe(x.view()) << " dim " << dim);
        CHECK(out.values() == index);
      }
    }
  }
}

TEST_CASE("argmax finds its way through chunks", "[reduce]") {
  ExecContext ctx = test_context();
  for (const Shape& shape : {Shape{20011, 1}, Shape{5000, 3}, Shape{3, 1500}}) {
    const int dim = shape[0] > shape[1] ? 0 : 1;
    for (const double peak : {2.0, kNan}) {
      TestTensor x = TestTensor(f32, shape).fill([] { return 1.0; });
      const TestTensor out(i64, folded_shape(shape, 1u << dim));
      std::vector<double> expected;
      for (std::int64_t i = 0; i < out.numel(); ++i) {
        const std::int64_t first = shape[dim] / 2 + 7 * i;
        for (const std::int64_t at : {first, first + 1, shape[dim] - 1}) {
          x.set(dim == 0 ? at * shape[1] + i : i * shape[1] + at, peak);
        }
        expected.push_back(static_cast<double>(first));
      }
      argmax(ctx, x.view(), dim, out.view());
      INFO(to_string(shape) << " peak " << peak);
      CHECK(out.values() == expected);
    }
  }
}

TEST_CASE("argmax takes the first of equals and NaN before all", "[reduce]") {
  CHECK(argmax_of({1, 3, 3, 2}) == 1);
  CHECK(argmax_of({1, kNan, 9, kNan}) == 1);
  CHECK(argmax_of({kNan, kInf}) == 0);
  CHECK(argmax_of({-kInf, -kInf}) == 0);
}

TEST_CASE("argmax along an empty dimension throws", "[reduce]") {
  CHECK_THROWS_WITH(argmax_of({}), Contains("argmax") && Contains("[0]"));
}

TEST_CASE("argmin agrees with argmax of the negative", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape shape{3, 40, 5};
  Draw draw(-4, 4);
  for (const DType dtype : {f32, f64, i32, i64}) {
    for (const Layout in : kLayouts) {
      const TestTensor x = TestTensor(dtype, shape, in).fill([&] { return std::floor(draw()); });
      TestTensor negative(dtype, shape);
      for (std::int64_t i = 0; i < x.numel(); ++i) negative.set(i, -x.get(i));
      for (int dim = 0; dim < 3; ++dim) {
        const TestTensor smallest(i64, folded_shape(shape, 1u << dim), Layout::sliced);
        const TestTensor largest(i64, folded_shape(shape, 1u << dim));
        argmin(ctx, x.view(), dim, smallest.view());
        argmax(ctx, negative.view(), dim, largest.view());
        INFO(describe(x) << " dim " << dim);
        CHECK(smallest.values() == largest.values());
      }
    }
  }
  TestTensor odd = TestTensor(f32, {4}).fill([] { return -kInf; });
  odd.set(2, kNan);
  odd.set(3, kNan);
  const TestTensor out(i64, {1});
  argmin(ctx, odd.view(), 0, out.view());
  CHECK(out.get(0) == 2);
  const TestTensor empty(f32, {0});
  CHECK_THROWS_WITH(argmin(ctx, empty.view(), 0, out.view()), Contains("argmin"));
}

TEST_CASE("any, all and prod agree with plain loops for every set of dimensions", "[reduce]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{40'007}, Shape{2, 3, 4, 5}, Shape{150, 70}}) {
    for (const Layout in : kLayouts) {
      Draw draw(0, 1);
      const double rare = 1 / (1 + std::sqrt(static_cast<double>(numel(shape))));
      // A stretched tensor has one factor many times.
      const double spread = in == Layout::stretched ? rare * rare : rare;
      TestTensor x(boolean, shape, in);
      TestTensor rest(boolean, shape, in);
      TestTensor factors(f32, shape, in);
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        x.set(i, draw() < rare ? 1 : 0);
        rest.set(i, draw() < rare ? 0 : 1);
        factors.set(i, 1 + (draw() - 0.5) * spread);
      }
      for (unsigned mask = 0; mask < 1u << shape.size(); ++mask) {
        const Shape to = folded_shape(shape, mask);
        const TestTensor has(boolean, to, Layout::sliced);
        const TestTensor every(boolean, to);
        const TestTensor product(f32, to, Layout::reversed);
        any(ctx, x.view(), has.view());
        all(ctx, rest.view(), every.view());
        if (ctx.device.is_cpu()) prod(ctx, factors.view(), product.view());
        const auto outputs = static_cast<std::size_t>(numel(to));
        std::vector<double> some(outputs, 0);
        std::vector<double> none(outputs, 1);
        std::vector<double> expected(outputs, 1);
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          const auto o = static_cast<std::size_t>(folded_index(i, shape, to));
          if (x.get(i) != 0) some[o] = 1;
          if (rest.get(i) == 0) none[o] = 0;
          expected[o] *= factors.get(i);
        }
        INFO(describe(x) << " to " << to_string(to));
        CHECK(has.values() == some);
        CHECK(every.values() == none);
        for (std::size_t o = 0; ctx.device.is_cpu() && o < outputs; ++o) {
          const double actual = product.get(static_cast<std::int64_t>(o));
          if (!close(actual, expected[o], tolerance(f32, expected[o])))
            CHECK(actual == expected[o]);
        }
      }
    }
  }
}
