// The contract: device memory is for the device. Whatever touches what it must not, host or
// kernel, out of bounds, too early or too late, is reported with the block it concerns.

#include <cstdint>
#include <limits>

#include "../sanitizer.h"
#include "scene.h"

using namespace emu;
using namespace emu::scene;

namespace {

constexpr int kCount = 1000;  // floats: not a whole number of pages

void write_at(float* data, int index) {
  if (self().thread_index.x == 0) data[index] = 1;
}
void read_at(float* data, int index, float* to) {
  if (self().thread_index.x == 0) *to = data[index];
}

float* pool_memory(cudaStream_t stream, int count = kCount) {
  void* pointer = nullptr;
  check(cudaMallocAsync(&pointer, static_cast<std::size_t>(count) * sizeof(float), stream));
  return static_cast<float*>(pointer);
}

}  // namespace

TEST_CASE("fresh memory is aligned and holds NaN", "[memory]") {
  const Scene scene;
  float* data = device_memory(kCount);
  CHECK(reinterpret_cast<std::uintptr_t>(data) % 256 == 0);
  for (const float value : to_host(data, kCount)) CHECK(value != value);
  check(cudaFree(data));
}

TEST_CASE("the host dies when it touches device memory", "[memory][misuse]") {
  const Scene scene;
  float* data = device_memory(kCount);
  SECTION("reading") {
    const auto text = death_of([&] {
      const volatile float value = data[3];
      (void)value;
    });
    CHECK_THAT(text, Contains("the host touched device memory"));
    CHECK_THAT(text, Contains("byte 12 of an allocation of 4000 bytes"));
  }
  SECTION("writing, while nothing is queued any more") {
    fill(nullptr, data, 1, kCount);
    check(cudaDeviceSynchronize());
    CHECK_THAT(death_of([&] { data[0] = 1; }), Contains("the host touched device memory"));
  }
  SECTION("in a host function") {
    const auto touch = [](void* pointer) { *static_cast<float*>(pointer) = 1; };
    CHECK_THAT(death_of([&] {
                 cudaLaunchHostFunc(nullptr, touch, data);
                 cudaDeviceSynchronize();
               }),
               Contains("the host touched device memory"));
  }
  check(cudaFree(data));
}

TEST_CASE("kernels that leave their allocation are reported", "[memory][misuse]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager);
  const Scene scene(policy);
  float* data = device_memory(kCount);
  float* to = device_memory(1);
  std::string expected;
#ifndef EMU_ASAN  // which reports these itself, and ends the process
  SECTION("a write just past the end") {
    launch(nullptr, "write_at", 1, write_at, data, kCount);
    expected = "0 bytes past the end of an allocation of 4000 bytes";
  }
  SECTION("a write just before the beginning") {
    launch(nullptr, "write_at", 1, write_at, data, -1);
    expected = "4 bytes before an allocation of 4000 bytes";
  }
  SECTION("a write far behind") {
    launch(nullptr, "write_at", 1, write_at, data, kCount + 100);
    expected = "past the end of an allocation of 4000 bytes";
  }
#endif
  SECTION("a read of nothing") {
    launch(nullptr, "read_at", 1, read_at, data, kCount * 1000000, to);
    expected = "in no block";
  }
  SECTION("a read of the page behind") {
    launch(nullptr, "read_at", 1, read_at, data, kCount + 200, to);
    expected = "past the end of an allocation of 4000 bytes";
  }
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  CHECK_THAT(take_report(), Contains(expected));
  CHECK(cudaFree(data) == cudaErrorIllegalAddress);  // the device is lost
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  reset_device();
  check(cudaFree(data));
  check(cudaFree(to));
}

TEST_CASE("what a stream allocates is its own until others wait", "[memory]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  float* data = pool_memory(one);

  SECTION("it works on the same stream") {
    fill(one, data, 1, kCount);
    check(cudaFreeAsync(data, one));
    check(cudaStreamSynchronize(one));
    CHECK(take_report().empty());
  }
  SECTION("another stream that waits may use it, and free it") {
    cudaEvent_t event = new_event();
    check(cudaEventRecord(event, one));
    check(cudaStreamWaitEvent(two, event, 0));
    fill(two, data, 1, kCount);
    check(cudaFreeAsync(data, two));
    check(cudaDeviceSynchronize());
    CHECK(take_report().empty());
    check(cudaEventDestroy(event));
  }
  SECTION("another stream that does not wait is reported") {
    fill(two, data, 1, kCount);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK_THAT(take_report(), Contains("which belongs to cudaMallocAsync on stream"));
    reset_device();
    check(cudaFree(data));
  }
  SECTION("freeing while another stream still uses it is reported") {
    cudaEvent_t event = new_event();
    check(cudaEventRecord(event, one));
    check(cudaStreamWaitEvent(two, event, 0));
    fill(two, data, 1, kCount);
    cudaFreeAsync(data, one);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    const std::string report = take_report();
    CHECK_THAT(report, Contains("cudaFreeAsync") && Contains("fill"));
    reset_device();
    cudaFree(data);
    check(cudaEventDestroy(event));
  }
  check(cudaStreamDestroy(one));
  check(cudaStreamDestroy(two));
}

TEST_CASE("use after free is reported", "[memory][misuse]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  float* data = nullptr;
  SECTION("cudaFree") {
    data = device_memory(kCount);
    check(cudaFree(data));
  }
  SECTION("cudaFreeAsync") {
    data = pool_memory(nullptr);
    check(cudaFreeAsync(data, nullptr));
  }
  fill(nullptr, data, 1, kCount);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  CHECK_THAT(take_report(), Contains("after it was freed by cudaFree"));
}

TEST_CASE("freeing twice, or what was never allocated, is reported", "[memory][misuse]") {
  const Scene scene;
  float* data = device_memory(kCount);
  CHECK(cudaFree(data + 1) == cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("is not the start of an allocation"));
  check(cudaFree(data));
  CHECK(cudaFree(data) == cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("already freed, by cudaFree"));

  float* pooled = pool_memory(nullptr);
  check(cudaFreeAsync(pooled, nullptr));
  CHECK(cudaFreeAsync(pooled, nullptr) == cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("already freed, by cudaFreeAsync"));
  check(cudaDeviceSynchronize());
  check(cudaFree(nullptr));
  CHECK_FALSE(device_lost());
}

TEST_CASE("memory runs out, and comes back", "[memory]") {
  const Scene scene(Streams::kLate);
  runtime_options().memory_bytes = live_resources().device_bytes + (1 << 20);
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, 2 << 20) == cudaErrorMemoryAllocation);
  CHECK(pointer == nullptr);
  CHECK(cudaMalloc(&pointer, std::numeric_limits<std::size_t>::max()) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  std::size_t free_bytes = 0, total = 0;
  check(cudaMemGetInfo(&free_bytes, &total));
  CHECK(free_bytes == 1 << 20);
  // A queued free counts: the allocation waits for it.
  float* most = pool_memory(nullptr, 200000);
  check(cudaFreeAsync(most, nullptr));
  most = pool_memory(nullptr, 200000);
  check(cudaFreeAsync(most, nullptr));
  check(cudaDeviceSynchronize());
}

TEST_CASE("live memory is known and named when it leaks", "[memory][misuse]") {
  const Scene scene;
  const LiveResources before = live_resources();
  float* data = device_memory(kCount);
  CHECK(live_resources().device_blocks == before.device_blocks + 1);
  CHECK_THAT(leak_report(),
             Contains("leaked 4000 bytes of device memory") && Contains("from cudaMalloc"));
  check(cudaFree(data));
  CHECK(live_resources().device_blocks == before.device_blocks);
  CHECK(live_resources().device_bytes == before.device_bytes);
}

TEST_CASE("the pool has its attributes", "[memory]") {
  const Scene scene;
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, 0));
  std::uint64_t threshold = std::numeric_limits<std::uint64_t>::max();
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  threshold = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CHECK(threshold == std::numeric_limits<std::uint64_t>::max());
  std::uint64_t used = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  CHECK(used == live_resources().device_bytes);
  check(cudaMemPoolTrimTo(pool, 0));
  CHECK(cudaDeviceGetDefaultMemPool(&pool, 1) == cudaErrorInvalidValue);
}

TEST_CASE("large blocks are checked like small ones", "[memory]") {
  const Scene scene(Streams::kRandom);
  constexpr int kLarge = 1 << 20;
  cudaStream_t one = new_stream();
  cudaStream_t two = new_stream();
  float* data = device_memory(kLarge);
  check(cudaMemsetAsync(data, 0, kLarge * sizeof(float) / 2, one));
  // Another half, another stream: no conflict.
  check(cudaMemsetAsync(data + kLarge / 2, 0, kLarge * sizeof(float) / 2, two));
  check(cudaDeviceSynchronize());
  CHECK(to_host(data, kLarge) == std::vector<float>(kLarge, 0));
  cudaMemsetAsync(data, 0, kLarge * sizeof(float) / 2, one);
  cudaMemsetAsync(data + kLarge / 4, 0, kLarge * sizeof(float) / 2, two);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  reset_device();
  check(cudaFree(data));
}

TEST_CASE("run() without a stream may use any memory, within bounds", "[memory]") {
  const Scene scene;
  float* data = device_memory(kCount);
  run(make_launch("fill", dim3(16), dim3(kThreads), dim3(1), 0, fill_kernel, data, 2.0F, kCount));
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 2));
  CHECK_THROWS_WITH(
      run(make_launch("write_at", dim3(1), dim3(1), dim3(1), 0, write_at, data, kCount * 1000000)),
      Contains("in no block"));
  check(cudaFree(data));
}

#ifndef EMU_ASAN  // which ends the process at a stack overflow
namespace {

int recurse(int depth, float* data) {
  volatile char frame[256];
  frame[0] = 1;
  return depth == 0 ? 0 : recurse(depth - 1, data) + frame[0];
}
void overflow_after_write(float* data) {
  data[0] = 1;
  data[1] = static_cast<float>(recurse(100000, data));
}

}  // namespace

TEST_CASE("a stack overflow is reported after device memory was touched, too", "[memory][misuse]") {
  const Scene scene;
  float* data = device_memory(kCount);
  for (int round = 0; round < 2; ++round) {  // the handlers are back in place afterwards
    launch(nullptr, "deep", 1, overflow_after_write, data);
    CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
    CHECK_THAT(take_report(), Contains("deep") && Contains("stack overflow"));
    reset_device();
  }
  fill(nullptr, data, 1, kCount);
  CHECK(to_host(data, kCount) == std::vector<float>(kCount, 1));
  CHECK_THAT(death_of([&] { data[0] = 1; }), Contains("the host touched device memory"));
  check(cudaFree(data));
}
#endif
