#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/conv.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr Layout kImageLayouts[] = {Layout::contiguous, Layout::channels_last, Layout::sliced,
                                    Layout::reversed};

struct Case {
  std::int64_t images, in_channels, height, width;
  std::int64_t out_channels, kernel_height, kernel_width;
  Conv2dParams params;

  Shape x() const { return {images, in_channels, height, width}; }
  Shape weight() const {
    return {out_channels, in_channels / params.groups, kernel_height, kernel_width};
  }
  Shape y() const {
    return {images, out_channels, extent(0, height, kernel_height), extent(1, width, kernel_width)};
  }

 private:
  std::int64_t extent(std::size_t d, std::int64_t in, std::int64_t kernel) const {
    return (in + 2 * params.padding[d] - params.dilation[d] * (kernel - 1) - 1) / params.stride[d] +
           1;
  }
};

const Case kCases[] = {
    {2, 3, 5, 6, 4, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {1, 1, 1, 1, 1, 1, 1, {}},
    {2, 16, 7, 5, 8, 1, 1, {}},
    {3, 4, 8, 8, 6, 2, 3, {{2, 1}, {0, 1}, {1, 1}, 2}},
    {2, 8, 9, 10, 8, 3, 3, {{1, 2}, {1, 0}, {1, 1}, 8}},
    {1, 6, 11, 9, 9, 3, 2, {{2, 2}, {2, 1}, {2, 3}, 3}},
    {2, 5, 4, 4, 7, 4, 4, {}},
    {2, 2, 3, 3, 2, 5, 5, {{1, 1}, {2, 2}, {1, 1}, 1}},
    {1, 17, 6, 6, 33, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {2, 3, 7, 7, 4, 1, 1, {{2, 2}, {0, 0}, {1, 1}, 1}},
    {2, 4, 6, 6, 12, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 4}},
    {2, 32, 14, 14, 64, 3, 3, {{2, 2}, {1, 1}, {1, 1}, 1}},
    {3, 3, 16, 17, 5, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},  // pixels for several chunks
};

/// Calls visit(index into x, index into weight, index into y) for every product of the convolution,
/// all indices logical and row-major.
template <class Visit>
void for_each_product(const Case& c, const Visit& visit) {
  const Shape y = c.y();
  const std::int64_t per_group_in = c.in_channels / c.params.groups;
  const std::int64_t per_group_out = c.out_channels / c.params.groups;
  for (std::int64_t i = 0; i < numel(y); ++i) {
    const std::int64_t q = i % y[3];
    const std::int64_t p = i / y[3] % y[2];
    const std::int64_t k = i / (y[3] * y[2]) % y[1];
    const std::int64_t image = i / (y[3] * y[2] * y[1]);
    for (std::int64_t ch = 0; ch < per_group_in; ++ch) {
      for (std::int64_t r = 0; r < c.kernel_height; ++r) {
        for (std::int64_t s = 0; s < c.kernel_width; ++s) {
          const std::int64_t h =
              p * c.params.stride[0] - c.params.padding[0] + r * c.params.dilation[0];
          const std::int64_t w =
              q * c.params.stride[1] - c.params.padding[1] + s * c.params.dilation[1];
          if (h < 0 || h >= c.height || w < 0 || w >= c.width) continue;
          const std::int64_t channel = k / per_group_out * per_group_in + ch;
          visit(((image * c.in_channels + channel) * c.height + h) * c.width + w,
                ((k * per_group_in + ch) * c.kernel_height + r) * c.kernel_width + s, i);
        }
      }
    }
  }
}

double& at(std::vector<double>& values, std::int64_t i) {
  return values[static_cast<std::size_t>(i)];
}

void check_close(const TestTensor& actual, const std::vector<double>& expected, double terms) {
  const double allowed = (actual.view().dtype == f64 ? 2.3e-16 : 1.2e-7) * (terms + 4);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < actual.numel(); ++i) {
    if (!close(actual.get(i), expected[static_cast<std::size_t>(i)], allowed)) ++wrong;
  }
  CHECK(wrong == 0);
}

TestTensor output(DType dtype, const Shape& shape) {
  return TestTensor(dtype, shape, Layout::channels_last).fill([] { return 77.0; });
}

void check_conv(DType dtype, const Case& c, Layout images, Layout weights, bool with_bias) {
  INFO(name(dtype) << " images " << to_string(c.x()) << " weights " << to_string(c.weight())
                   << " groups " << c.params.groups << " layouts " << static_cast<int>(images)
                   << static_cast<int>(weights));
  Draw draw(-1, 1);
  const TestTensor x = TestTensor(dtype, c.x(), images).fill(std::ref(draw));
  const TestTensor weight = TestTensor(dtype, c.weight(), weights).fill(std::ref(draw));
  const TestTensor dy = TestTensor(dtype, c.y(), images).fill(std::ref(draw));
  const TestTensor bias = TestTensor(dtype, {c.out_channels}, Layout::sliced).fill(std::ref(draw));
  const TestTensor y = output(dtype, c.y());
  const TestTensor dx = output(dtype, c.x());
  const TestTensor dweight = output(dtype, c.weight());
  ExecContext ctx = test_context();
  conv2d_forward(ctx, c.params, x.view(), weight.view(), with_bias ? bias.view() : View{},
                 y.view());
  conv2d_backward_input(ctx, c.params, dy.view(), weight.view(), dx.view());
  conv2d_backward_weight(ctx, c.params, dy.view(), x.view(), dweight.view());

  std::vector<double> x_values = x.values();
  std::vector<double> weight_values = weight.values();
  std::vector<double> dy_values = dy.values();
  std::vector<double> expected_y(dy_values.size());
  std::vector<double> expected_dx(x_values.size());
  std::vector<double> expected_dweight(weight_values.size());
  const Shape ys = c.y();
  for (std::int64_t i = 0; with_bias && i < y.numel(); ++i) {
    at(expected_y, i) = bias.get(i / (ys[2] * ys[3]) % ys[1]);
  }
  for_each_product(c, [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) {
    at(expected_y, yi) += at(x_values, xi) * at(weight_values, wi);
    at(expected_dx, xi) += at(dy_values, yi) * at(weight_values, wi);
    at(expected_dweight, wi) += at(dy_values, yi) * at(x_values, xi);
  });
  const auto taps = static_cast<double>(c.kernel_height * c.kernel_width);
  check_close(y, expected_y, taps * static_cast<double>(c.weight()[1]));
  check_close(dx, expected_dx, taps * static_cast<double>(c.out_channels));
  check_close(dweight, expected_dweight, static_cast<double>(ys[0] * ys[2] * ys[3]));
}

bool all_are(const TestTensor& tensor, double value) {
  for (const double element : tensor.values()) {
    if (element != value) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("convolution and its gradients agree with plain loops", "[conv]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : kCases) {
      for (const Layout images : kImageLayouts) {
        check_conv(dtype, c, images, Layout::channels_last, true);
      }
      check_conv(dtype, c, Layout::channels_last, Layout::contiguous, false);
    }
  }
}

TEST_CASE("convolutions of random sizes agree with plain loops", "[conv]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw number(0, 1000);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(number()) % (high - low + 1);
  };
  for (int i = 0; i < 40; ++i) {
    Case c{draw(1, 3), 0, draw(5, 10), draw(5, 10), 0, draw(1, 3), draw(1, 3), {}};
    c.params.groups = draw(1, 3);
    c.in_channels = c.params.groups * draw(1, 9);
    c.out_channels = c.params.groups * draw(1, 9);
    c.params.stride = {draw(1, 3), draw(1, 3)};
    c.params.padding = {draw(0, 2), draw(0, 2)};
    c.params.dilation = {draw(1, 2), draw(1, 2)};
    for (const DType dtype : {f32, f64}) {
      check_conv(dtype, c, kImageLayouts[draw(0, 3)], kImageLayouts[draw(0, 3)], i % 2 == 0);
    }
  }
}

TEST_CASE("convolution handles empty batches and channels", "[conv]") {
  ExecContext ctx = test_context();
  for (const DType dtype : {f32, f64}) {
    const Conv2dParams params;
    const TestTensor bias = TestTensor(dtype, {4}).fill([] { return 3.0; });
    {
      const TestTensor x(dtype, {0, 2, 5, 5});
      const TestTensor y = output(dtype, {0, 4, 3, 3});
      const TestTensor weight = output(dtype, {4, 2, 3, 3});
      conv2d_forward(ctx, params, x.view(), weight.view(), bias.view(), y.view());
      conv2d_backward_input(ctx, params, y.view(), weight.view(), x.view());
      conv2d_backward_weight(ctx, params, y.view(), x.view(), weight.view());
      CHECK(all_are(weight, 0.0));
    }
    {
      const TestTensor x(dtype, {2, 0, 5, 5});
      const TestTensor y = output(dtype, {2, 4, 3, 3});
      const TestTensor weight(dtype, {4, 0, 3, 3});
      conv2d_forward(ctx, params, x.view(), weight.view(), bias.view(), y.view());
      CHECK(all_are(y, 3.0));
      conv2d_forward(ctx, params, x.view(), weight.view(), View{}, y.view());
      CHECK(all_are(y, 0.0));
      conv2d_backward_weight(ctx, params, y.view(), x.view(), weight.view());
    }
    {
      const TestTensor dx = output(dtype, {2, 3, 5, 5});
      const TestTensor dy(dtype, {2, 0, 3, 3});
      const TestTensor weight(dtype, {0, 3, 3, 3});
      conv2d_backward_input(ctx, params, dy.view(), weight.view(), dx.view());
      CHECK(all_are(dx, 0.0));
    }
  }
}

TEST_CASE("f64 convolution gives equal bits on any number of threads", "[conv]") {
  const Case& c = kCases[5];
  Draw draw(-1, 1);
  const TestTensor x = TestTensor(f64, c.x(), Layout::channels_last).fill(std::ref(draw));
  const TestTensor weight = TestTensor(f64, c.weight(), Layout::channels_last).fill(std::ref(draw));
  const TestTensor dy = TestTensor(f64, c.y(), Layout::channels_last).fill(std::ref(draw));
  const int threads_before = max_threads();
  std::vector<std::vector<double>> first;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const TestTensor y = output(f64, c.y());
    const TestTensor dx = output(f64, c.x());
    const TestTensor dweight = output(f64, c.weight());
    ExecContext ctx = test_context();
    conv2d_forward(ctx, c.params, x.view(), weight.view(), View{}, y.view());
    conv2d_backward_input(ctx, c.params, dy.view(), weight.view(), dx.view());
    conv2d_backward_weight(ctx, c.params, dy.view(), x.view(), dweight.view());
    const std::vector<std::vector<double>> results{y.values(), dx.values(), dweight.values()};
    if (threads == 1) first = results;
    CHECK(results == first);
  }
  set_num_threads(threads_before);
}

TEST_CASE("convolution names what does not fit", "[conv]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {2, 3, 5, 5}, Layout::channels_last);
  const TestTensor y(f32, {2, 4, 3, 3}, Layout::channels_last);
  const TestTensor weight(f32, {4, 3, 3, 3});
  const TestTensor other(f32, {4, 2, 3, 3});
  const TestTensor large(f32, {4, 3, 6, 3});
  const TestTensor rows(f32, {2, 4, 3, 3});
  const auto forward = [&](const Conv2dParams& params, const TestTensor& w, const TestTensor& out) {
    conv2d_forward(ctx, params, x.view(), w.view(), View{}, out.view());
  };
  CHECK_THROWS_WITH(forward({}, other, y), Contains("[2, 3, 5, 5]") && Contains("[4, 2, 3, 3]"));
  CHECK_THROWS_WITH(forward({}, large, y), Contains("does not fit"));
  CHECK_THROWS_WITH(forward({}, weight, rows), Contains("NHWC"));
  CHECK_THROWS_WITH(forward({{2, 1}, {0, 0}, {1, 1}, 1}, weight, y), Contains("[2, 4, 2, 3]"));
  CHECK_THROWS_WITH(forward({{0, 1}, {0, 0}, {1, 1}, 1}, weight, y), Contains("positive"));
}
