#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/pool.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr Layout kImageLayouts[] = {Layout::contiguous, Layout::channels_last, Layout::sliced,
                                    Layout::reversed};

struct Case {
  Shape x;
  std::int64_t out_height, out_width;
  Pool2dParams params;

  Shape y() const { return {x[0], x[1], out_height, out_width}; }
};

const Case kCases[] = {
    {{2, 3, 4, 6}, 2, 3, {{2, 2, 0}, {2, 2, 0}}},
    {{1, 1, 1, 1}, 1, 1, {}},
    {{2, 70, 5, 5}, 5, 5, {{3, 1, 1}, {3, 1, 1}}},
    {{2, 5, 7, 8}, 3, 4, {{3, 2, 0}, {4, 2, 1}}},
    {{3, 4, 7, 7}, 4, 4, {{3, 2, 1}, {3, 2, 1}, false}},
    {{1, 130, 6, 5}, 3, 3, {{3, 2, 0}, {3, 2, 1}}},            // the last window sticks out
    {{2, 3, 5, 7}, 2, 2, {{1, 3, 0}, {2, 4, 0}}},              // windows with gaps
    {{2, 3, 7, 5}, 3, 2, {{1, 1, 0, true}, {1, 1, 0, true}}},  // adaptive
    {{2, 3, 7, 5}, 1, 1, {{1, 1, 0, true}, {1, 1, 0, true}}},
    {{2, 3, 2, 3}, 5, 4, {{1, 1, 0, true}, {1, 1, 0, true}}},
    {{2, 8, 5, 6}, 3, 3, {{3, 2, 1}, {3, 2, 1}, false}},  // whole vectors of channels
    {{2, 4, 7, 5}, 3, 2, {{1, 1, 0, true}, {1, 1, 0, true}}},
    {{2, 3, 8, 8}, 4, 4, {{3, 2, 1}, {2, 2, 0}}},                      // whole vectors of pixels
    {{2, 3, 8, 9}, 3, 5, {{3, 2, 1, false, 2}, {3, 1, 1, false, 3}}},  // dilated: maxima only
    {{2, 8, 7, 7}, 2, 4, {{2, 3, 1, false, 5}, {2, 2, 0, false, 1}}},
    {{0, 3, 4, 4}, 2, 2, {{2, 2, 0}, {2, 2, 0}}},
    {{2, 0, 4, 4}, 2, 2, {{2, 2, 0}, {2, 2, 0}}},
};

double average_divisor(const Case& c, std::int64_t p, std::int64_t q) {
  const auto along = [&](const PoolWindow& window, std::int64_t o, std::int64_t in,
                         std::int64_t out) {
    const auto [begin, end] = window.range(o, in, out);
    if (window.adaptive || !c.params.count_include_pad) return end - begin;
    const std::int64_t start = o * window.stride - window.padding;
    return std::min(start + window.size, in + window.padding) - start;
  };
  return static_cast<double>(along(c.params.height, p, c.x[2], c.out_height) *
                             along(c.params.width, q, c.x[3], c.out_width));
}

struct Expected {
  std::vector<double> maxima, indices, averages, max_dx, avg_dx;
};

Expected reference(const Case& c, const std::vector<double>& x, const std::vector<double>& dy) {
  Expected result;
  result.max_dx.resize(x.size());
  result.avg_dx.resize(x.size());
  const std::int64_t pixels = c.x[2] * c.x[3];
  for (std::int64_t i = 0; i < numel(c.y()); ++i) {
    const std::int64_t q = i % c.out_width;
    const std::int64_t p = i / c.out_width % c.out_height;
    const std::int64_t plane = i / (c.out_width * c.out_height) * pixels;
    const auto rows = c.params.height.range(p, c.x[2], c.out_height);
    const auto cols = c.params.width.range(q, c.x[3], c.out_width);
    const double gradient = dy[static_cast<std::size_t>(i)];
    const double divisor = average_divisor(c, p, q);
    std::int64_t best = -1;
    double sum = 0;
    for (std::int64_t h = rows[0]; h < rows[1]; h += c.params.height.dilation) {
      for (std::int64_t w = cols[0]; w < cols[1]; w += c.params.width.dilation) {
        const std::int64_t index = h * c.x[3] + w;
        const auto at = static_cast<std::size_t>(plane + index);
        if (best < 0 || x[at] > x[static_cast<std::size_t>(plane + best)]) best = index;
        sum += x[at];
        result.avg_dx[at] += gradient / divisor;
      }
    }
    result.maxima.push_back(x[static_cast<std::size_t>(plane + best)]);
    result.indices.push_back(static_cast<double>(best));
    result.averages.push_back(sum / divisor);
    result.max_dx[static_cast<std::size_t>(plane + best)] += gradient;
  }
  return result;
}

void check_close(const char* what, const TestTensor& actual, const std::vector<double>& expected) {
  INFO(what);
  const double allowed = actual.view().dtype == f64 ? 1e-14 : 1e-5;
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < actual.numel(); ++i) {
    if (!close(actual.get(i), expected[static_cast<std::size_t>(i)], allowed)) ++wrong;
  }
  CHECK(wrong == 0);
}

struct Results {
  TestTensor y, indices, dx, average, average_dx;

  Results(const Case& c, const TestTensor& x, const TestTensor& dy, Layout layout)
      : y(x.view().dtype, c.y(), layout),
        indices(i32, c.y(), layout),
        dx(x.view().dtype, c.x, layout),
        average(x.view().dtype, c.y(), layout),
        average_dx(x.view().dtype, c.x, layout) {
    dx.fill([] { return 77.0; });
    average_dx.fill([] { return 77.0; });
    ExecContext ctx = test_context();
    max_pool2d_forward(ctx, c.params, x.view(), y.view(), indices.view());
    max_pool2d_backward(ctx, c.params, dy.view(), indices.view(), dx.view());
    avg_pool2d_forward(ctx, c.params, x.view(), average.view());
    avg_pool2d_backward(ctx, c.params, dy.view(), average_dx.view());
  }
};

void check_pool(DType dtype, const Case& c, Layout in, Layout out) {
  INFO(name(dtype) << to_string(c.x) << " to " << to_string(c.y()) << " layouts "
                   << static_cast<int>(in) << " and " << static_cast<int>(out));
  Draw draw(-1, 1);
  // Few different values: ties are common, and the first maximum must win.
  const TestTensor x = TestTensor(dtype, c.x, in).fill([&] { return std::round(draw() * 4) / 4; });
  const TestTensor dy = TestTensor(dtype, c.y(), in).fill(std::ref(draw));
  const Results actual(c, x, dy, out);
  const Expected expected = reference(c, x.values(), dy.values());
  check_close("maxima", actual.y, expected.maxima);
  check_close("indices", actual.indices, expected.indices);
  check_close("gradient of the maximum", actual.dx, expected.max_dx);
  if (c.params.height.dilation > 1) return;
  check_close("averages", actual.average, expected.averages);
  check_close("gradient of the average", actual.average_dx, expected.avg_dx);
}

}  // namespace

TEST_CASE("pooling and its gradients agree with plain loops", "[pool]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : kCases) {
      for (const Layout in : kImageLayouts) {
        for (const Layout out : kImageLayouts) check_pool(dtype, c, in, out);
      }
    }
  }
}

TEST_CASE("pooling some channels of a larger image gives what it gives for a copy", "[pool]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  const Case c{{2, 8, 5, 6}, 3, 3, {{3, 2, 1}, {3, 2, 1}}};
  Draw draw(-1, 1);
  for (const DType dtype : {f32, f64}) {
    for (const int first : {0, 1, 4}) {  // 1: no vector is aligned
      const auto channels = [&](View view) {
        view.data =
            static_cast<char*>(view.data) + static_cast<std::size_t>(first) * size_of(view.dtype);
        view.shape[1] = 8;
        return view;
      };
      const auto larger = [](Shape shape) {
        shape[1] = 12;
        return shape;
      };
      constexpr Layout layout = Layout::channels_last;
      const TestTensor whole = TestTensor(dtype, larger(c.x), layout).fill(std::ref(draw));
      const TestTensor whole_dy = TestTensor(dtype, larger(c.y()), layout).fill(std::ref(draw));
      const TestTensor y(dtype, larger(c.y()), layout);
      const TestTensor indices(i32, larger(c.y()), layout);
      const TestTensor dx(dtype, larger(c.x), layout);
      const TestTensor average_dx(dtype, larger(c.x), layout);
      ExecContext ctx = test_context();
      max_pool2d_forward(ctx, c.params, channels(whole.view()), channels(y.view()),
                         channels(indices.view()));
      max_pool2d_backward(ctx, c.params, channels(whole_dy.view()), channels(indices.view()),
                          channels(dx.view()));
      avg_pool2d_backward(ctx, c.params, channels(whole_dy.view()), channels(average_dx.view()));

      const auto copy = [&](const TestTensor& from, const Shape& shape) {
        TestTensor part(dtype, shape);
        const std::int64_t pixels = shape[2] * shape[3];
        for (std::int64_t i = 0; i < part.numel(); ++i) {
          const std::int64_t plane = i / pixels / 8 * 12 + first + i / pixels % 8;
          part.set(i, from.get(plane * pixels + i % pixels));
        }
        return part;
      };
      const Results expected(c, copy(whole, c.x), copy(whole_dy, c.y()), Layout::contiguous);
      INFO(name(dtype) << " channels from " << first);
      CHECK(copy(y, c.y()).same_bits(expected.y));
      CHECK(copy(dx, c.x).same_bits(expected.dx));
      CHECK(copy(average_dx, c.x).same_bits(expected.average_dx));
    }
  }
}

TEST_CASE("max pooling lets the first NaN win", "[pool]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {1, nan, nan, infinity, -infinity, -infinity, -infinity, -infinity};
  for (const DType dtype : {f32, f64}) {
    TestTensor x(dtype, {2, 1, 2, 2});
    for (std::int64_t i = 0; i < 8; ++i) x.set(i, values[i]);
    const Case c{{2, 1, 2, 2}, 1, 1, {{2, 2, 0}, {2, 2, 0}}};
    const TestTensor y(dtype, c.y());
    const TestTensor indices(i32, c.y());
    ExecContext ctx = test_context();
    max_pool2d_forward(ctx, c.params, x.view(), y.view(), indices.view());
    CHECK(std::isnan(y.get(0)));
    CHECK(indices.get(0) == 1);
    CHECK(y.get(1) == -infinity);
    CHECK(indices.get(1) == 0);
  }
}

TEST_CASE("pooling gives equal bits on any number of threads", "[pool]") {
  const Case c{{3, 130, 20, 20}, 10, 10, {{3, 2, 1}, {3, 2, 1}}};
  Draw draw(-1, 1);
  const int threads_before = max_threads();
  for (const DType dtype : {f32, f64}) {
    const TestTensor x = TestTensor(dtype, c.x, Layout::channels_last).fill(std::ref(draw));
    const TestTensor dy = TestTensor(dtype, c.y(), Layout::channels_last).fill(std::ref(draw));
    set_num_threads(1);
    const Results first(c, x, dy, Layout::channels_last);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const Results results(c, x, dy, Layout::channels_last);
      CHECK(results.y.same_bits(first.y));
      CHECK(results.indices.same_bits(first.indices));
      CHECK(results.dx.same_bits(first.dx));
      CHECK(results.average.same_bits(first.average));
      CHECK(results.average_dx.same_bits(first.average_dx));
    }
  }
  set_num_threads(threads_before);
}

TEST_CASE("pooling names what does not fit", "[pool]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {1, 2, 4, 4});
  const TestTensor y(f32, {1, 2, 6, 6});
  const TestTensor other(f32, {1, 3, 6, 6});
  const TestTensor indices(f32, {1, 2, 6, 6});
  const Pool2dParams outside{{1, 1, 1}, {1, 1, 1}};
  CHECK_THROWS_WITH(avg_pool2d_forward(ctx, outside, x.view(), y.view()), Contains("padding"));
  CHECK_THROWS_WITH(avg_pool2d_forward(ctx, {}, x.view(), other.view()),
                    Contains("[1, 2, 4, 4]") && Contains("[1, 3, 6, 6]"));
  CHECK_THROWS_WITH(max_pool2d_forward(ctx, {}, x.view(), y.view(), indices.view()),
                    Contains("indices must be i32"));
}
