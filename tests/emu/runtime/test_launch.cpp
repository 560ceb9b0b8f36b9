// The contract: launch() throws where CUDA refuses a launch: on a device that has been lost, in a
// capture that has failed, on a stream that is gone.

#include "minidl/kernels/cuda/launch.cuh"
#include "scene.h"

using namespace emu;
using namespace emu::scene;
using minidl::kernels::cuda::LaunchConfig;

namespace {

void launch_fill(cudaStream_t stream, float* data) {
  minidl::kernels::cuda::launch({"my_fill", dim3(1), dim3(kThreads), 0, stream}, fill_kernel, data,
                                1.0F, kThreads);
}

}  // namespace

TEST_CASE("a launch on a lost device throws what lost it", "[launch][misuse]") {
  const Scene scene;
  float* data = device_memory(kThreads);
  cudaStream_t stream = new_stream();
  launch_fill(stream, data + kThreads);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
  CHECK_THROWS_WITH(launch_fill(stream, data),
                    Contains("my_fill: launch failed: an illegal memory access") &&
                        Contains("my_fill on stream"));
  reset_device();
  launch_fill(stream, data);
  check(cudaStreamSynchronize(stream));
  check(cudaFree(data));
  check(cudaStreamDestroy(stream));
}

TEST_CASE("a launch into a capture that has failed throws", "[launch][misuse]") {
  const Scene scene;
  float* data = device_memory(kThreads);
  cudaStream_t stream = new_stream();
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch_fill(stream, data);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  CHECK_THROWS_WITH(launch_fill(stream, data),
                    "my_fill: launch failed: operation failed due to a previous error during "
                    "capture");
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  check(cudaFree(data));
  check(cudaStreamDestroy(stream));
}

TEST_CASE("a launch on a stream that is gone throws", "[launch][misuse]") {
  const Scene scene;
  float* data = device_memory(kThreads);
  cudaStream_t stream = new_stream();
  check(cudaStreamDestroy(stream));
  CHECK_THROWS_WITH(launch_fill(stream, data),
                    Contains("my_fill: launch failed: invalid resource"));
  check(cudaFree(data));
}
