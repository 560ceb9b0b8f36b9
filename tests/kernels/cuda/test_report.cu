// What a kernel reports comes out where the host next waits for the device, once.

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/report.cuh"
#include "tests/catch.h"
#include "tests/kernels/cuda/on_cuda.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;
using cuda::Report;
using cuda::ReportValues;

namespace {

__global__ void report_kernel(std::int64_t limit, std::int64_t value, Report report) {
  if (threadIdx.x == 0 && value >= limit) report.write(value, limit, -1, std::int64_t{1} << 40);
}

std::string too_large(const ReportValues& values) {
  return "too_large: " + std::to_string(values[0]) + " of " + std::to_string(values[1]) + ", " +
         std::to_string(values[2]) + ", " + std::to_string(values[3]);
}

std::string another(const ReportValues& values) {
  return "another: " + std::to_string(values[0]);
}

void run(std::int64_t value, cuda::ExplainReport* explain = too_large) {
  ExecContext ctx = test_context();
  launch(cuda::linear_launch(ctx, "report", 1, 32), report_kernel, std::int64_t{10}, value,
         cuda::report_to(ctx, explain));
}

}  // namespace

TEST_CASE("a report comes out at the next synchronize, exactly once", "[report]") {
  if (!on_cuda_or_skip()) return;
  const Stream stream = current_stream(test_device());
  run(9);
  CHECK_NOTHROW(stream.synchronize());
  run(12);
  CHECK_THROWS_WITH(stream.synchronize(), Contains("too_large: 12 of 10, -1, 1099511627776"));
  CHECK_NOTHROW(stream.synchronize());
}

TEST_CASE("of several reports the first comes out, and the next wait has room again", "[report]") {
  if (!on_cuda_or_skip()) return;
  const Stream stream = current_stream(test_device());
  run(13);
  run(14, another);
  CHECK_THROWS_WITH(stream.synchronize(), Contains("13 of 10"));
  CHECK_NOTHROW(stream.synchronize());
  run(15, another);
  CHECK_THROWS_WITH(stream.synchronize(), Contains("another: 15"));
}

TEST_CASE("a report comes out where a copy to the host waits", "[report]") {
  if (!on_cuda_or_skip()) return;
  const TestTensor x(f32, {4});
  x.view();
  run(16);
  CHECK_THROWS_WITH(x.get(0), Contains("16 of 10"));
  CHECK(x.get(0) == 0);
}
