// Kernels on images whose results the op table checks: here, that they are the same for any number
// of threads, and what they refuse.

#include <functional>
#include <vector>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/group_norm.h"
#include "minidl/kernels/upsample.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr Layout kImageLayouts[] = {Layout::contiguous, Layout::channels_last, Layout::sliced};

/// Runs `body` with one thread and with three, on results of its own, and compares these.
void check_threads(const std::function<std::vector<TestTensor>()>& body) {
  const int threads = max_threads();
  set_num_threads(1);
  const std::vector<TestTensor> one = body();
  set_num_threads(3);
  const std::vector<TestTensor> many = body();
  set_num_threads(threads);
  REQUIRE(one.size() == many.size());
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(one[i].same_bits(many[i]));
}

}  // namespace

TEST_CASE("group_norm does not depend on the number of threads", "[group_norm][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape shape{3, 72, 17, 15};
  for (const Layout layout : kImageLayouts) {
    const TestTensor x = TestTensor(f32, shape, layout).fill(Draw(-2, 3));
    const TestTensor dy = TestTensor(f32, shape, layout).fill(Draw(-2, 3));
    const TestTensor weight = TestTensor(f32, {72}).fill(Draw(-2, 2));
    check_threads([&] {
      const TestTensor y(f32, shape, layout);
      const TestTensor dx(f32, shape, layout);
      const TestTensor mean(f32, {3, 8});
      const TestTensor rstd(f32, {3, 8});
      const TestTensor dweight(f32, {72});
      const TestTensor dbias(f32, {72});
      group_norm_forward(ctx, x.view(), weight.view(), {}, 1e-5, y.view(), mean.view(),
                         rstd.view());
      group_norm_backward(ctx, dy.view(), x.view(), mean.view(), rstd.view(), weight.view(),
                          dx.view(), dweight.view(), dbias.view());
      return std::vector<TestTensor>{y, mean, rstd, dx, dweight, dbias};
    });
  }
}

TEST_CASE("upsampling does not depend on the number of threads", "[upsample][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape small{3, 72, 11, 13};
  const Shape large{3, 72, 29, 17};
  for (const bool bilinear : {false, true}) {
    for (const Layout layout : kImageLayouts) {
      const TestTensor x = TestTensor(f32, small, layout).fill(Draw(-2, 3));
      const TestTensor dy = TestTensor(f32, large, layout).fill(Draw(-2, 3));
      check_threads([&] {
        const TestTensor y(f32, large, layout);
        const TestTensor dx(f32, small, layout);
        upsample2d_forward(ctx, {.bilinear = bilinear}, x.view(), y.view());
        upsample2d_backward(ctx, {.bilinear = bilinear}, dy.view(), dx.view());
        return std::vector<TestTensor>{y, dx};
      });
    }
  }
}

TEST_CASE("upsampling refuses operands that do not fit", "[upsample][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {1, 2, 3, 3});
  const TestTensor other_channels(f32, {1, 3, 6, 6});
  const TestTensor no_pixels(f32, {1, 2, 0, 3});
  CHECK_THROWS_WITH(upsample2d_forward(ctx, {}, x.view(), other_channels.view()),
                    Contains("interpolate") && Contains("[1, 3, 6, 6]"));
  CHECK_THROWS_WITH(upsample2d_forward(ctx, {}, no_pixels.view(), x.view()),
                    Contains("[1, 2, 0, 3]"));
}
