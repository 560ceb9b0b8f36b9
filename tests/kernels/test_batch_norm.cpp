#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr Layout kImageLayouts[] = {Layout::contiguous, Layout::channels_last, Layout::sliced,
                                    Layout::reversed};
constexpr double kEpsilon = 1e-5;

const Shape kShapes[] = {{2, 3, 4, 5}, {1, 1, 1, 1}, {7, 300, 3, 3}, {40, 8, 9, 9},
                         {3, 1, 5, 2}, {33, 17},     {5, 6, 7},      {1, 4}};

/// Per-channel inputs of the kernels, all strided.
struct Vectors {
  TestTensor mean, variance, inv_std, weight, bias, sum_dy, sum_dy_xhat;

  Vectors(DType dtype, std::int64_t channels, Draw& draw)
      : mean(dtype, {channels}, Layout::sliced),
        variance(dtype, {channels}, Layout::sliced),
        inv_std(dtype, {channels}, Layout::sliced),
        weight(dtype, {channels}, Layout::sliced),
        bias(dtype, {channels}),
        sum_dy(dtype, {channels}),
        sum_dy_xhat(dtype, {channels}, Layout::sliced) {
    weight.fill(std::ref(draw));
    bias.fill(std::ref(draw));
  }
};

struct Channel {
  double count = 0, mean = 0, variance = 0, sum_dy = 0, sum_dy_xhat = 0;
};

/// What the kernels must give for one channel, from the values given (two passes, in f64).
Channel reference(const Shape& shape, const std::vector<double>& x, const std::vector<double>& dy,
                  std::int64_t channel) {
  std::int64_t pixels = 1;
  for (int i = 2; i < shape.size(); ++i) pixels *= shape[i];
  const auto visit = [&](const auto& body) {
    for (std::int64_t sample = 0; sample < shape[0]; ++sample) {
      const std::int64_t first = (sample * shape[1] + channel) * pixels;
      for (std::int64_t i = first; i < first + pixels; ++i) body(static_cast<std::size_t>(i));
    }
  };
  Channel result;
  visit([&](std::size_t i) {
    result.count += 1;
    result.mean += x[i];
    result.sum_dy += dy[i];
  });
  if (result.count == 0) return result;
  result.mean /= result.count;
  visit([&](std::size_t i) { result.variance += std::pow(x[i] - result.mean, 2) / result.count; });
  const double inv_std = 1 / std::sqrt(result.variance + kEpsilon);
  visit([&](std::size_t i) { result.sum_dy_xhat += dy[i] * (x[i] - result.mean) * inv_std; });
  return result;
}

void check_vector(const char* what, const TestTensor& actual, std::int64_t channel, double expected,
                  double allowed) {
  if (close(actual.get(channel), expected, allowed)) return;
  INFO(what << " of channel " << channel);
  CHECK(actual.get(channel) == expected);
}

void check_batch_norm(DType dtype, const Shape& shape, Layout in, Layout out, bool affine) {
  INFO(name(dtype) << to_string(shape) << " layouts " << static_cast<int>(in) << " and "
                   << static_cast<int>(out) << " affine " << affine);
  Draw draw(-1, 1);
  const TestTensor x = TestTensor(dtype, shape, in).fill(std::ref(draw));
  const TestTensor dy = TestTensor(dtype, shape, in).fill(std::ref(draw));
  const TestTensor y(dtype, shape, out);
  const TestTensor dx(dtype, shape, out);
  Vectors v(dtype, shape[1], draw);
  const View weight = affine ? v.weight.view() : View{};
  const View bias = affine ? v.bias.view() : View{};
  const double count = static_cast<double>(numel(shape)) / static_cast<double>(shape[1]);

  ExecContext ctx = test_context();
  batch_norm_stats(ctx, x.view(), v.mean.view(), v.variance.view());
  for (std::int64_t c = 0; c < shape[1]; ++c) {
    v.inv_std.set(c, 1 / std::sqrt(v.variance.get(c) + kEpsilon));
  }
  batch_norm_apply(ctx, x.view(), v.mean.view(), v.inv_std.view(), weight, bias, y.view());
  batch_norm_backward_reduce(ctx, dy.view(), x.view(), v.mean.view(), v.inv_std.view(),
                             v.sum_dy.view(), v.sum_dy_xhat.view());
  batch_norm_backward_apply(ctx, dy.view(), x.view(), v.mean.view(), v.inv_std.view(), weight,
                            v.sum_dy.view(), v.sum_dy_xhat.view(), count, dx.view());

  const std::vector<double> xs = x.values();
  const std::vector<double> dys = dy.values();
  std::vector<Channel> channels;
  for (std::int64_t c = 0; c < shape[1]; ++c) {
    channels.push_back(reference(shape, xs, dys, c));
    const Channel& expected = channels.back();
    // A variance of 0 makes inv_std large, and with it the rounding of the mean.
    const double magnitude = std::sqrt(expected.count) / std::sqrt(expected.variance + kEpsilon);
    check_vector("mean", v.mean, c, expected.mean, tolerance(dtype, 1));
    check_vector("variance", v.variance, c, expected.variance, tolerance(dtype, 1));
    check_vector("sum_dy", v.sum_dy, c, expected.sum_dy, tolerance(dtype, magnitude));
    check_vector("sum_dy_xhat", v.sum_dy_xhat, c, expected.sum_dy_xhat,
                 tolerance(dtype, magnitude));
  }
  std::int64_t pixels = 1;
  for (int i = 2; i < shape.size(); ++i) pixels *= shape[i];
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < numel(shape); ++i) {
    const std::int64_t c = i / pixels % shape[1];
    const Channel& channel = channels[static_cast<std::size_t>(c)];
    const double inv_std = 1 / std::sqrt(channel.variance + kEpsilon);
    const double xhat = (x.get(i) - channel.mean) * inv_std;
    const double scale = affine ? v.weight.get(c) : 1.0;
    const double expected_y = xhat * scale + (affine ? v.bias.get(c) : 0.0);
    const double expected_dx =
        scale * inv_std *
        (dy.get(i) - channel.sum_dy / channel.count - xhat * channel.sum_dy_xhat / channel.count);
    if (!close(y.get(i), expected_y, tolerance(dtype, inv_std))) ++wrong;
    if (!close(dx.get(i), expected_dx, tolerance(dtype, inv_std * inv_std))) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("batch norm and its gradients agree with plain loops", "[batch_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : kShapes) {
      for (const Layout in : kImageLayouts) {
        for (const Layout out : kImageLayouts) {
          const bool channels_last = in == Layout::channels_last || out == Layout::channels_last;
          if (channels_last && shape.size() != 4) continue;
          check_batch_norm(dtype, shape, in, out, in != out);
        }
      }
    }
  }
}

TEST_CASE("batch norm of channels and pixels round vectors, blocks and chunks", "[batch_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const Shape& shape : {Shape{5, 4, 40, 32}, Shape{3, 130, 4, 4}, Shape{2, 64, 9, 8},
                             Shape{4, 257, 3, 1}, Shape{1, 1030, 2, 2}}) {
    for (const DType dtype : {f32, f64}) {
      check_batch_norm(dtype, shape, Layout::channels_last, Layout::channels_last, true);
      check_batch_norm(dtype, shape, Layout::contiguous, Layout::contiguous, false);
    }
  }
}

TEST_CASE("batch norm does not depend on where its operands begin", "[batch_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const Layout layout : {Layout::channels_last, Layout::contiguous}) {
    for (const int dim : {1, 3}) {
      Draw draw(-1, 1);
      const Shape whole{6, dim == 1 ? 65 : 64, 5, dim == 3 ? 9 : 8};
      const TestTensor x = TestTensor(f32, whole, layout).fill(std::ref(draw));
      const TestTensor dy = TestTensor(f32, whole, layout).fill(std::ref(draw));
      const TestTensor results(f32, whole, layout);
      const Shape shape = without_first(x.view(), dim).shape;
      const std::int64_t step = contiguous_strides(whole)[dim];
      const auto kept = [&](const TestTensor& tensor) {
        std::vector<double> values;
        for (std::int64_t i = 0; i < tensor.numel(); ++i) {
          if (i / step % whole[dim] != 0) values.push_back(tensor.get(i));
        }
        return values;
      };
      const auto aligned = [&](const TestTensor& tensor) {
        TestTensor copy(f32, shape, layout);
        const std::vector<double> values = kept(tensor);
        for (std::size_t i = 0; i < values.size(); ++i) {
          copy.set(static_cast<std::int64_t>(i), values[i]);
        }
        return copy;
      };
      const auto run = [&](const View& from, const View& gradient, const View& to, Vectors& v) {
        v.inv_std.fill([] { return 1.7; });
        std::vector<std::vector<double>> sums;
        batch_norm_stats(ctx, from, v.mean.view(), v.variance.view());
        batch_norm_backward_reduce(ctx, gradient, from, v.mean.view(), v.inv_std.view(),
                                   v.sum_dy.view(), v.sum_dy_xhat.view());
        batch_norm_backward_apply(ctx, gradient, from, v.mean.view(), v.inv_std.view(),
                                  v.weight.view(), v.sum_dy.view(), v.sum_dy_xhat.view(), 100, to);
        for (const TestTensor* tensor : {&v.mean, &v.variance, &v.sum_dy, &v.sum_dy_xhat}) {
          sums.push_back(tensor->values());
        }
        return sums;
      };
      Draw same(-1, 1);
      Vectors tail(f32, shape[1], same);
      Vectors copied = tail;
      const TestTensor aligned_results(f32, shape, layout);
      INFO("layout " << static_cast<int>(layout) << " without the first of dimension " << dim);
      CHECK(run(without_first(x.view(), dim), without_first(dy.view(), dim),
                without_first(results.view(), dim), tail) ==
            run(aligned(x).view(), aligned(dy).view(), aligned_results.view(), copied));
      CHECK(kept(results) == aligned_results.values());
    }
  }
}

TEST_CASE("batch norm keeps its precision when the mean is far from zero", "[batch_norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (const DType dtype : {f32, f64}) {
    for (const double mean : {1e4, -1e5}) {
      Draw draw(-1, 1);
      const Shape shape{16, 5, 12, 12};
      TestTensor x =
          TestTensor(dtype, shape, Layout::channels_last).fill([&] { return mean + draw(); });
      x.set(0, 0.0);                         // an outlier in the first row of channel 0
      x.set(2 * 12 * 12 + 77, mean + 50.0);  // and one in the middle of channel 2
      const TestTensor means(dtype, {5});
      const TestTensor variances(dtype, {5});
      ExecContext ctx = test_context();
      batch_norm_stats(ctx, x.view(), means.view(), variances.view());
      const std::vector<double> values = x.values();
      for (std::int64_t c = 0; c < 5; ++c) {
        const Channel expected = reference(shape, values, values, c);
        const double relative = dtype == f64 ? 1e-9 : 1e-5;
        CHECK(close(means.get(c), expected.mean, relative / 50 * std::abs(mean)));
        CHECK(close(variances.get(c), expected.variance, relative * expected.variance));
      }
    }
  }
}

TEST_CASE("batch norm of nothing gives zero sums", "[batch_norm]") {
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape :
         {Shape{0, 3, 4, 4}, Shape{2, 3, 0, 4}, Shape{0, 3}, Shape{4, 0, 2, 2}}) {
      Draw draw(-1, 1);
      const TestTensor x(dtype, shape);
      Vectors v(dtype, shape[1], draw);
      for (TestTensor* tensor : {&v.mean, &v.variance, &v.sum_dy, &v.sum_dy_xhat}) {
        tensor->fill([] { return 77.0; });
      }
      ExecContext ctx = test_context();
      batch_norm_stats(ctx, x.view(), v.mean.view(), v.variance.view());
      batch_norm_apply(ctx, x.view(), v.mean.view(), v.inv_std.view(), View{}, View{}, x.view());
      batch_norm_backward_reduce(ctx, x.view(), x.view(), v.mean.view(), v.inv_std.view(),
                                 v.sum_dy.view(), v.sum_dy_xhat.view());
      batch_norm_backward_apply(ctx, x.view(), x.view(), v.mean.view(), v.inv_std.view(), View{},
                                v.sum_dy.view(), v.sum_dy_xhat.view(), 8, x.view());
      const std::vector<double> zeros(static_cast<std::size_t>(shape[1]));
      CHECK(v.mean.values() == zeros);
      CHECK(v.variance.values() == zeros);
      CHECK(v.sum_dy.values() == zeros);
      CHECK(v.sum_dy_xhat.values() == zeros);
    }
  }
}

TEST_CASE("batch norm gives equal bits on any number of threads", "[batch_norm][cpu]") {
  const int threads_before = max_threads();
  for (const Shape& shape : {Shape{9, 40, 31, 17}, Shape{300, 600, 1, 1}}) {
    Draw draw(-1, 1);
    const TestTensor x = TestTensor(f32, shape, Layout::channels_last).fill(std::ref(draw));
    const TestTensor dy = TestTensor(f32, shape, Layout::channels_last).fill(std::ref(draw));
    std::vector<std::vector<double>> first;
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      Draw same(-1, 1);
      Vectors v(f32, shape[1], same);
      v.inv_std.fill([] { return 1.7; });
      const TestTensor y(f32, shape, Layout::channels_last);
      const TestTensor dx(f32, shape, Layout::channels_last);
      ExecContext ctx = test_context();
      batch_norm_stats(ctx, x.view(), v.mean.view(), v.variance.view());
      batch_norm_apply(ctx, x.view(), v.mean.view(), v.inv_std.view(), v.weight.view(),
                       v.bias.view(), y.view());
      batch_norm_backward_reduce(ctx, dy.view(), x.view(), v.mean.view(), v.inv_std.view(),
                                 v.sum_dy.view(), v.sum_dy_xhat.view());
      batch_norm_backward_apply(ctx, dy.view(), x.view(), v.mean.view(), v.inv_std.view(),
                                v.weight.view(), v.sum_dy.view(), v.sum_dy_xhat.view(), 100,
                                dx.view());
      const std::vector<std::vector<double>> results{v.mean.values(),   v.variance.values(),
                                                     v.sum_dy.values(), v.sum_dy_xhat.values(),
                                                     y.values(),        dx.values()};
      if (threads == 1) first = results;
      CHECK(results == first);
    }
  }
  set_num_threads(threads_before);
}

TEST_CASE("batch norm names what does not fit", "[batch_norm]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {2, 3, 4, 4});
  const TestTensor y(f32, {2, 3, 4, 5});
  const TestTensor three(f32, {3});
  const TestTensor four(f32, {4});
  const TestTensor whole(i32, {2, 3});
  const TestTensor counts(i32, {3});
  CHECK_THROWS_WITH(batch_norm_stats(ctx, x.view(), three.view(), four.view()), Contains("[3]"));
  CHECK_THROWS_WITH(batch_norm_stats(ctx, whole.view(), counts.view(), counts.view()),
                    Contains("batch_norm") && Contains("i32"));
  CHECK_THROWS_WITH(
      batch_norm_apply(ctx, x.view(), three.view(), three.view(), View{}, View{}, y.view()),
      Contains("[2, 3, 4, 5]"));
}
