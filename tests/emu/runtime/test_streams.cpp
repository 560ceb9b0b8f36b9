// The contract: a stream is a queue. What is issued runs when somebody waits for it, in the
// stream's order; between streams only events order, besides the default stream. All of it holds
// under every policy (late, eager, random); late is where a missing wait shows.

#include <atomic>
#include <chrono>
#include <thread>

#include "scene.h"

using namespace emu;
using namespace emu::scene;

namespace {

constexpr int kCount = 100;

void append(void* list) {
  static_cast<std::vector<int>*>(list)->push_back(1);
}

}  // namespace

TEST_CASE("work runs when it is waited for", "[streams]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream();
  std::vector<int> calls;
  check(cudaLaunchHostFunc(stream, append, &calls));
  CHECK(calls.empty());
  check(cudaStreamSynchronize(stream));
  CHECK(calls.size() == 1);
  check(cudaStreamDestroy(stream));
}

TEST_CASE("eager work runs when it is issued", "[streams]") {
  const Scene scene(Streams::kEager);
  std::vector<int> calls;
  check(cudaLaunchHostFunc(nullptr, append, &calls));
  CHECK(calls.size() == 1);
}

TEST_CASE("a stream keeps its order, under every policy", "[streams]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t stream = new_stream();
  float* data = device_memory(kCount);
  fill(stream, data, 1, kCount);
  add(stream, data, 2, kCount);
  check(cudaStreamSynchronize(stream));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 3));
  check(cudaFree(data));
  check(cudaStreamDestroy(stream));
  CHECK(take_report().empty());
}

TEST_CASE("waiting for one stream leaves another alone", "[streams]") {
  const Scene scene(Streams::kLate);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  std::vector<int> calls;
  check(cudaLaunchHostFunc(two, append, &calls));
  check(cudaStreamSynchronize(one));
  CHECK(calls.empty());
  check(cudaDeviceSynchronize());
  CHECK(calls.size() == 1);
  check(cudaStreamDestroy(one));
  check(cudaStreamDestroy(two));
}

TEST_CASE("an event orders two streams", "[streams]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  cudaEvent_t event = new_event();
  float* data = device_memory(kCount);
  for (int round = 0; round < 10; ++round) {
    fill(one, data, static_cast<float>(round), kCount);
    check(cudaEventRecord(event, one));
    check(cudaStreamWaitEvent(two, event, 0));
    add(two, data, 1, kCount);
    check(cudaEventRecord(event, two));
    check(cudaStreamWaitEvent(one, event, 0));
  }
  check(cudaStreamSynchronize(one));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 10));
  CHECK(take_report().empty());
  check(cudaEventDestroy(event));
  check(cudaFree(data));
  check(cudaStreamDestroy(one));
  check(cudaStreamDestroy(two));
}

TEST_CASE("an access that no event orders is reported", "[streams][misuse]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  float* data = device_memory(kCount);
  float* other = device_memory(kCount);

  SECTION("read of what another stream writes") {
    fill(one, data, 1, kCount);
    copy(two, other, data, kCount);
  }
  SECTION("write of what another stream reads") {
    fill(one, data, 1, kCount);
    cudaStreamSynchronize(one);
    copy(one, other, data, kCount);
    fill(two, data, 2, kCount);
  }
  SECTION("two writes") {
    fill(one, data, 1, kCount);
    cudaMemsetAsync(data, 0, kCount * sizeof(float), two);
  }
  SECTION("the wait comes before the record") {
    cudaEvent_t event = new_event();
    cudaStreamWaitEvent(two, event, 0);
    fill(one, data, 1, kCount);
    cudaEventRecord(event, one);
    copy(two, other, data, kCount);
  }
  SECTION("the record comes before the work") {
    cudaEvent_t event = new_event();
    cudaEventRecord(event, one);
    fill(one, data, 1, kCount);
    cudaStreamWaitEvent(two, event, 0);
    copy(two, other, data, kCount);
  }

  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  const std::string report = take_report();
  CHECK_THAT(report, Contains("no event, synchronisation or stream order"));
  CHECK_THAT(cudaGetErrorString(cudaErrorIllegalAddress), Contains("no event"));
  CHECK(device_lost());
  reset_device();
  check(cudaFree(data));
  check(cudaFree(other));
}

TEST_CASE("the host orders streams by synchronising", "[streams]") {
  const Scene scene(Streams::kRandom);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  float* data = device_memory(kCount);
  fill(one, data, 1, kCount);
  SECTION("cudaStreamSynchronize") {
    check(cudaStreamSynchronize(one));
  }
  SECTION("cudaDeviceSynchronize") {
    check(cudaDeviceSynchronize());
  }
  SECTION("cudaStreamQuery") {
    while (cudaStreamQuery(one) == cudaErrorNotReady) {
    }
  }
  SECTION("cudaEventSynchronize") {
    cudaEvent_t event = new_event();
    check(cudaEventRecord(event, one));
    check(cudaEventSynchronize(event));
    check(cudaEventDestroy(event));
  }
  add(two, data, 1, kCount);
  check(cudaStreamSynchronize(two));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 2));
  CHECK(take_report().empty());
  check(cudaFree(data));
}

TEST_CASE("the default stream is ordered with blocking streams only", "[streams]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  float* data = device_memory(kCount);

  SECTION("a blocking one") {
    cudaStream_t stream = new_stream(cudaStreamDefault);
    fill(stream, data, 1, kCount);
    add(nullptr, data, 2, kCount);
    add(stream, data, 3, kCount);
    check(cudaStreamSynchronize(stream));
    CHECK(to_host(data, kCount) == std::vector<float>(kCount, 6));
    CHECK(take_report().empty());
    check(cudaStreamDestroy(stream));
  }
  SECTION("a non-blocking one") {
    cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    fill(stream, data, 1, kCount);
    add(nullptr, data, 2, kCount);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK_THAT(take_report(), Contains("the default stream"));
    reset_device();
  }
  check(cudaFree(data));
}

TEST_CASE("queries make progress and end", "[streams]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream();
  cudaEvent_t event = new_event();
  CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
  float* data = device_memory(kCount);
  fill(stream, data, 1, kCount);
  add(stream, data, 1, kCount);
  check(cudaEventRecord(event, stream));
  int queries = 0;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++queries;
  CHECK(queries > 1);
  CHECK(cudaGetLastError() == cudaErrorNotReady);
  CHECK(cudaGetLastError() == cudaSuccess);
  check(cudaStreamQuery(stream));
  check(cudaEventDestroy(event));
  check(cudaFree(data));
  check(cudaStreamDestroy(stream));
}

TEST_CASE("a host that waits for something else lets the device go on", "[streams]") {
  const Scene scene(Streams::kLate);
  std::vector<int> calls;
  check(cudaLaunchHostFunc(nullptr, append, &calls));
  check(cudaLaunchHostFunc(nullptr, append, &calls));
  CHECK(drain_some());
  CHECK(calls.size() == 1);
  CHECK(drain_some());
  CHECK_FALSE(drain_some());
  CHECK(calls.size() == 2);
}

TEST_CASE("a wait for what follows an operation that another thread runs", "[streams]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream(cudaStreamDefault);
  std::atomic<bool> started = false;
  const auto slow = [](void* flag) {
    *static_cast<std::atomic<bool>*>(flag) = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  std::vector<int> calls;
  check(cudaLaunchHostFunc(nullptr, slow, &started));
  check(cudaLaunchHostFunc(stream, append, &calls));   // waits for the slow one
  check(cudaLaunchHostFunc(nullptr, append, &calls));  // waits for that
  std::thread other([] { drain_some(); });
  while (!started) std::this_thread::yield();
  check(cudaStreamSynchronize(stream));
  CHECK(calls.size() == 1);
  other.join();
  check(cudaDeviceSynchronize());
  check(cudaStreamDestroy(stream));
}

TEST_CASE("queues are finite", "[streams]") {
  const Scene scene(Streams::kLate);
  std::vector<int> calls;
  for (int i = 0; i < 1500; ++i) check(cudaLaunchHostFunc(nullptr, append, &calls));
  CHECK(calls.size() == 1500 - 1024);
  check(cudaDeviceSynchronize());
  CHECK(calls.size() == 1500);
}

TEST_CASE("elapsed time needs two timing events that are done", "[streams]") {
  const Scene scene(Streams::kLate);
  cudaEvent_t start = new_event(cudaEventDefault);
  cudaEvent_t end = new_event(cudaEventDefault);
  cudaEvent_t silent = new_event(cudaEventDisableTiming);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorInvalidResourceHandle);
  check(cudaEventRecord(start, nullptr));
  check(cudaEventRecord(end, nullptr));
  check(cudaEventRecord(silent, nullptr));
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorNotReady);
  check(cudaEventSynchronize(end));
  check(cudaEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds >= 0);
  CHECK(cudaEventElapsedTime(&milliseconds, start, silent) == cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {start, end, silent}) check(cudaEventDestroy(event));
}

TEST_CASE("a destroyed stream finishes its work, and its handle is dead", "[streams][misuse]") {
  const Scene scene(Streams::kLate);
  cudaStream_t stream = new_stream();
  std::vector<int> calls;
  check(cudaLaunchHostFunc(stream, append, &calls));
  check(cudaStreamDestroy(stream));
  CHECK(calls.empty());
  check(cudaDeviceSynchronize());
  CHECK(calls.size() == 1);
  CHECK(cudaStreamDestroy(stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaLaunchHostFunc(stream, append, &calls) == cudaErrorInvalidResourceHandle);
  CHECK_THAT(take_report(), Contains("cudaStreamDestroy: no such stream"));
  CHECK(cudaStreamDestroy(nullptr) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("a destroyed event is dead", "[streams][misuse]") {
  const Scene scene;
  cudaEvent_t event = new_event();
  check(cudaEventDestroy(event));
  CHECK(cudaEventRecord(event, nullptr) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(event) == cudaErrorInvalidResourceHandle);
  CHECK_THAT(take_report(), Contains("no such event"));
}

TEST_CASE("priorities are clamped, flags kept", "[streams]") {
  const Scene scene;
  int least = 1, greatest = 1;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  CHECK(least == 0);
  CHECK(greatest < 0);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, -100));
  int priority = 1;
  unsigned flags = 0;
  check(cudaStreamGetPriority(stream, &priority));
  check(cudaStreamGetFlags(stream, &flags));
  CHECK(priority == greatest);
  CHECK(flags == cudaStreamNonBlocking);
  check(cudaStreamDestroy(stream));
}

TEST_CASE("host functions may not call the runtime", "[streams][misuse]") {
  const Scene scene(Streams::kLate);
  cudaError_t result = cudaSuccess;
  const auto call = [](void* to) { *static_cast<cudaError_t*>(to) = cudaDeviceSynchronize(); };
  check(cudaLaunchHostFunc(nullptr, call, &result));
  check(cudaDeviceSynchronize());
  CHECK(result == cudaErrorNotPermitted);
  CHECK_THAT(take_report(), Contains("called from a host function"));
}
