#include <cmath>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/norm.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

double reference(const std::vector<double>& values) {
  long double sum = 0;  // a sum in double would itself be off by more than what is allowed
  for (const long double value : values) sum += value * value;
  return static_cast<double>(std::sqrt(sum));
}

}  // namespace

TEST_CASE("l2_norm of any shape and layout", "[norm]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  std::vector<Shape> shapes = edge_shapes();
  for (const std::int64_t count : kCounts) shapes.push_back({count});
  shapes.push_back({3, 40001});
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : shapes) {
      for (const Layout layout : kLayouts) {
        const TestTensor x = TestTensor(dtype, shape, layout).fill(Draw(-2, 2));
        const TestTensor out(dtype, {});
        l2_norm(ctx, x.view(), out.view());
        INFO(describe(x));
        const double expected = reference(x.values());
        CHECK(close(out.get(0), expected, tolerance(dtype, expected)));
      }
    }
  }
}

TEST_CASE("l2_norm neither overflows nor forgets NaN", "[norm]") {
  ExecContext ctx = test_context();
  const TestTensor out(f32, {});
  const TestTensor large = TestTensor(f32, {9}).fill([] { return 1e30; });
  l2_norm(ctx, large.view(), out.view());
  CHECK(out.get(0) == Approx(3e30));
  const TestTensor nan = TestTensor(f32, {9}).fill([] { return NAN; });
  l2_norm(ctx, nan.view(), out.view());
  CHECK(std::isnan(out.get(0)));
  const TestTensor whole(i32, {2});
  CHECK_THROWS_WITH(l2_norm(ctx, whole.view(), out.view()), Contains("l2_norm") && Contains("i32"));
}

TEST_CASE("l2_norm does not depend on the number of threads", "[norm][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x = TestTensor(f32, {300001}).fill(Draw(-2, 2));
  const TestTensor one(f32, {});
  const TestTensor many(f32, {});
  set_num_threads(1);
  l2_norm(ctx, x.view(), one.view());
  set_num_threads(3);
  l2_norm(ctx, x.view(), many.view());
  set_num_threads(threads);
  CHECK(one.same_bits(many));
}
