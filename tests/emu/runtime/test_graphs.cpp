// The contract: a captured stream records instead of running; the graph replays with the arguments
// it was captured with, branches included; and what has no place in a capture is refused with
// CUDA's error codes and spoils the capture.

#include "scene.h"

using namespace emu;
using namespace emu::scene;

namespace {

constexpr int kCount = 100;

cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph, 0));
  return executable;
}

cudaError_t end(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  const cudaError_t error = cudaStreamEndCapture(stream, &graph);
  if (graph != nullptr) check(cudaGraphDestroy(graph));
  return error;
}

}  // namespace

TEST_CASE("a graph replays with its arguments frozen", "[graphs]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t stream = new_stream();
  float* data = device_memory(kCount);
  fill(stream, data, 0, kCount);
  float value = 1;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  add(stream, data, value, kCount);
  value = 100;
  add(stream, data, 2, kCount);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0;
  check(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(nodes == 2);
  cudaGraphExec_t executable = instantiate(graph);
  check(cudaGraphDestroy(graph));
  check(cudaStreamSynchronize(stream));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 0));  // recorded, not run
  for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(executable, stream));
  check(cudaStreamSynchronize(stream));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 9));
  CHECK(take_report().empty());
  check(cudaGraphExecDestroy(executable));
  CHECK(live_resources().graphs == 0);
  check(cudaFree(data));
}

TEST_CASE("branches of a capture fork and join through events", "[graphs]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  cudaEvent_t fork = new_event();
  cudaEvent_t join = new_event();
  float* a = device_memory(kCount);
  float* b = device_memory(kCount);
  check(cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal));
  fill(one, a, 1, kCount);
  check(cudaEventRecord(fork, one));
  check(cudaStreamWaitEvent(two, fork, 0));
  copy(two, b, a, kCount);
  check(cudaEventRecord(join, two));
  SECTION("joined before the next write") {
    check(cudaStreamWaitEvent(one, join, 0));
    add(one, a, 1, kCount);
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(one, &graph));
    cudaGraphExec_t executable = instantiate(graph);
    check(cudaGraphLaunch(executable, two));
    check(cudaStreamSynchronize(two));
    CHECK(to_host(a, kCount) == std::vector<float>(kCount, 2));
    CHECK(to_host(b, kCount) == std::vector<float>(kCount, 1));
    CHECK(take_report().empty());
    check(cudaGraphDestroy(graph));
    check(cudaGraphExecDestroy(executable));
  }
  SECTION("joined after the next write: a race on every replay") {
    add(one, a, 1, kCount);
    check(cudaStreamWaitEvent(one, join, 0));
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(one, &graph));
    cudaGraphExec_t executable = instantiate(graph);
    cudaGraphLaunch(executable, one);
    CHECK(cudaStreamSynchronize(one) == cudaErrorIllegalAddress);
    CHECK_THAT(take_report(), Contains("no event"));
    reset_device();
    check(cudaGraphDestroy(graph));
    check(cudaGraphExecDestroy(executable));
  }
  SECTION("not joined") {
    CHECK(end(one) == cudaErrorStreamCaptureUnjoined);
  }
  check(cudaFree(a));
  check(cudaFree(b));
}

TEST_CASE("copies in a graph read their source at every replay", "[graphs]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream();
  float* data = device_memory(kCount);
  void* pinned = nullptr;
  check(cudaMallocHost(&pinned, kCount * sizeof(float)));
  auto* source = static_cast<float*>(pinned);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  check(cudaMemcpyAsync(data, source, kCount * sizeof(float), cudaMemcpyHostToDevice, stream));
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = instantiate(graph);
  for (float value = 1; value < 4; ++value) {
    std::fill(source, source + kCount, value);
    check(cudaGraphLaunch(executable, stream));
    check(cudaStreamSynchronize(stream));
    CHECK(to_host(data, kCount) == std::vector<float>(kCount, value));
  }
  check(cudaGraphDestroy(graph));
  check(cudaGraphExecDestroy(executable));
  check(cudaFreeHost(pinned));
  check(cudaFree(data));
}

TEST_CASE("what acts at once is refused while capturing", "[graphs][misuse]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream();
  cudaEvent_t event = new_event();
  float* data = device_memory(kCount);
  void* pointer = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  cudaStreamCaptureStatus status{};
  check(cudaStreamIsCapturing(stream, &status));
  CHECK(status == cudaStreamCaptureStatusActive);
  const auto refused = cudaErrorStreamCaptureUnsupported;
  SECTION("cudaStreamSynchronize") {
    CHECK(cudaStreamSynchronize(stream) == refused);
  }
  SECTION("cudaDeviceSynchronize") {
    CHECK(cudaDeviceSynchronize() == refused);
  }
  SECTION("cudaStreamQuery") {
    CHECK(cudaStreamQuery(stream) == refused);
  }
  SECTION("cudaMalloc") {
    CHECK(cudaMalloc(&pointer, 8) == refused);
  }
  SECTION("cudaFree") {
    CHECK(cudaFree(data) == refused);
  }
  SECTION("cudaMallocHost") {
    CHECK(cudaMallocHost(&pointer, 8) == refused);
  }
  SECTION("cudaMallocAsync") {
    CHECK(cudaMallocAsync(&pointer, 8, stream) == refused);
  }
  SECTION("cudaFreeAsync") {
    CHECK(cudaFreeAsync(data, stream) == refused);
  }
  SECTION("cudaMemcpy") {
    CHECK(cudaMemcpy(data, data, 4, cudaMemcpyDeviceToDevice) == refused);
  }
  SECTION("a query of an event of other work") {
    CHECK(cudaEventQuery(event) == refused);
  }
  check(cudaStreamIsCapturing(stream, &status));
  CHECK(status == cudaStreamCaptureStatusInvalidated);
  CHECK(end(stream) == cudaErrorStreamCaptureInvalidated);
  check(cudaStreamSynchronize(stream));  // an ordinary stream again
  check(cudaFree(data));
  check(cudaEventDestroy(event));
}

TEST_CASE("the borders of a capture", "[graphs][misuse]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream(cudaStreamDefault);
  cudaStream_t other = new_stream();
  cudaEvent_t event = new_event();

  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(end(stream) == cudaErrorIllegalState);
  check(cudaEventRecord(event, other));
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));

  SECTION("relaxed captures let the host do what it likes elsewhere") {
    float* data = device_memory(kCount);
    check(cudaStreamSynchronize(other));
    check(cudaFree(data));
    check(end(stream));
  }
  SECTION("waiting for work outside") {
    CHECK(cudaStreamWaitEvent(stream, event, 0) == cudaErrorStreamCaptureIsolation);
    CHECK(end(stream) == cudaErrorStreamCaptureInvalidated);
  }
  SECTION("the default stream would be ordered with the captured one") {
    CHECK(cudaEventRecord(event, nullptr) == cudaErrorStreamCaptureImplicit);
    CHECK(end(stream) == cudaErrorStreamCaptureInvalidated);
  }
  SECTION("an event of the capture cannot be waited for by the host") {
    check(cudaEventRecord(event, stream));
    CHECK(cudaEventQuery(event) == cudaErrorCapturedEvent);
    CHECK(cudaEventSynchronize(event) == cudaErrorCapturedEvent);
    check(end(stream));
    CHECK(cudaStreamWaitEvent(other, event, 0) == cudaErrorCapturedEvent);
  }
  SECTION("two captures do not merge") {
    check(cudaEventRecord(event, stream));
    check(cudaStreamBeginCapture(other, cudaStreamCaptureModeRelaxed));
    CHECK(cudaStreamWaitEvent(other, event, 0) == cudaErrorStreamCaptureMerge);
    CHECK(end(other) == cudaErrorStreamCaptureInvalidated);
    CHECK(end(stream) == cudaErrorStreamCaptureInvalidated);
  }
  SECTION("a capture ends on the stream it began on") {
    check(cudaEventRecord(event, stream));
    check(cudaStreamWaitEvent(other, event, 0));
    CHECK(end(other) == cudaErrorStreamCaptureUnmatched);
    CHECK(end(stream) == cudaErrorStreamCaptureInvalidated);
  }
  check(cudaEventDestroy(event));
  check(cudaStreamDestroy(stream));
  check(cudaStreamDestroy(other));
}

TEST_CASE("destroyed graphs are dead", "[graphs][misuse]") {
  const Scene scene;
  cudaStream_t stream = new_stream();
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = instantiate(graph);
  check(cudaGraphLaunch(executable, stream));  // an empty one is fine
  check(cudaGraphExecDestroy(executable));
  check(cudaGraphDestroy(graph));
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorInvalidValue);
  CHECK(cudaGraphDestroy(graph) == cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(executable) == cudaErrorInvalidValue);
  check(cudaStreamSynchronize(stream));
}
