// The contract: copies synchronise as CUDA documents, no more. From pinned memory they are
// asynchronous, and the host that does not wait for them dies with a report; from pageable memory
// the source has been read when the call returns; to pageable memory the copy is done.

#include <numeric>

#include "../sanitizer.h"
#include "scene.h"

using namespace emu;
using namespace emu::scene;

namespace {

constexpr int kCount = 3000;
constexpr std::size_t kBytes = kCount * sizeof(float);

std::vector<float> ramp() {
  std::vector<float> values(kCount);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

float* pinned_memory(int count = kCount) {
  void* pointer = nullptr;
  check(cudaMallocHost(&pointer, static_cast<std::size_t>(count) * sizeof(float)));
  return static_cast<float*>(pointer);
}

}  // namespace

TEST_CASE("bytes go to the device, across it and back", "[copies]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  float* one = device_memory(kCount);
  float* two = device_memory(kCount);
  const std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  check(cudaMemcpyAsync(one, source.data(), kBytes, cudaMemcpyHostToDevice, nullptr));
  check(cudaMemcpyAsync(two, one, kBytes, cudaMemcpyDeviceToDevice, nullptr));
  check(cudaMemcpyAsync(result.data(), two, kBytes, cudaMemcpyDefault, nullptr));
  CHECK(result == source);  // pageable: the copy is done
  std::fill(result.begin(), result.end(), 0.0F);
  check(cudaMemcpy(result.data(), one, kBytes, cudaMemcpyDeviceToHost));
  CHECK(result == source);
  check(cudaMemset(one, 0, kBytes));
  CHECK(to_host(one, kCount) == std::vector<float>(kCount, 0));
  check(cudaFree(one));
  check(cudaFree(two));
}

TEST_CASE("a pageable source may change as soon as the call has returned", "[copies]") {
  const Scene scene(Streams::kLate);
  float* data = device_memory(kCount);
  std::vector<float> source = ramp();
  check(cudaMemcpyAsync(data, source.data(), kBytes, cudaMemcpyHostToDevice, nullptr));
  std::fill(source.begin(), source.end(), -1.0F);
  CHECK(to_host(data, kCount) == ramp());
  check(cudaFree(data));
}

TEST_CASE("pinned memory may be used after waiting for the copy", "[copies]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager, Streams::kRandom);
  const Scene scene(policy);
  cudaStream_t stream = new_stream();
  float* data = device_memory(kCount);
  float* pinned = pinned_memory();
  const std::vector<float> source = ramp();
  std::copy(source.begin(), source.end(), pinned);
  check(cudaMemcpyAsync(data, pinned, kBytes, cudaMemcpyHostToDevice, stream));
  CHECK(pinned[1] == 1);  // reading what a copy only reads is fine
  check(cudaStreamSynchronize(stream));
  std::fill(pinned, pinned + kCount, 0.0F);
  add(stream, data, 1, kCount);
  check(cudaMemcpyAsync(pinned, data, kBytes, cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  CHECK(pinned[kCount - 1] == kCount);
  check(cudaFreeHost(pinned));
  check(cudaFree(data));
  CHECK(take_report().empty());
}

TEST_CASE("pinned memory may not be touched before the copy is waited for", "[copies][misuse]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager);
  const Scene scene(policy);
  cudaStream_t stream = new_stream();
  float* data = device_memory(kCount);
  float* pinned = pinned_memory();
  check(cudaMemsetAsync(data, 0, kBytes, stream));
  SECTION("reading what a copy writes") {
    check(cudaMemcpyAsync(pinned, data, kBytes, cudaMemcpyDeviceToHost, stream));
    CHECK_THAT(death_of([&] {
                 const volatile float value = pinned[0];
                 (void)value;
               }),
               Contains("the host touched pinned memory") && Contains("writes"));
  }
  SECTION("writing what a copy reads") {
    check(cudaMemcpyAsync(data, pinned, kBytes, cudaMemcpyHostToDevice, stream));
    CHECK_THAT(death_of([&] { pinned[kCount - 1] = 1; }),
               Contains("the host touched pinned memory") && Contains("reads"));
  }
  SECTION("waiting for another stream is not enough") {
    check(cudaMemcpyAsync(pinned, data, kBytes, cudaMemcpyDeviceToHost, stream));
    check(cudaStreamSynchronize(nullptr));
    CHECK_THAT(death_of([&] { pinned[0] = 1; }), Contains("the host touched pinned memory"));
  }
  check(cudaDeviceSynchronize());
  check(cudaFreeHost(pinned));
  check(cudaFree(data));
}

TEST_CASE("half of a pinned block may be filled while the other half travels", "[copies]") {
  const Scene scene(Streams::kLate);
  constexpr int kHalf = 8192;
  float* data = device_memory(kHalf);
  float* pinned = pinned_memory(2 * kHalf);
  std::fill(pinned, pinned + kHalf, 1.0F);
  check(cudaMemcpyAsync(data, pinned, kHalf * sizeof(float), cudaMemcpyHostToDevice, nullptr));
  std::fill(pinned + kHalf, pinned + 2 * kHalf, 2.0F);
  check(cudaDeviceSynchronize());
  CHECK(to_host(data, kHalf) == std::vector<float>(kHalf, 1));
  check(cudaFreeHost(pinned));
  check(cudaFree(data));
}

TEST_CASE("registered memory copies asynchronously", "[copies]") {
  const Scene scene(Streams::kLate);
  float* data = device_memory(kCount);
  std::vector<float> host = ramp();
  check(cudaHostRegister(host.data(), kBytes, cudaHostRegisterDefault));
  CHECK(cudaHostRegister(host.data(), kBytes, 0) == cudaErrorHostMemoryAlreadyRegistered);
  check(cudaMemcpyAsync(data, host.data(), kBytes, cudaMemcpyHostToDevice, nullptr));
  host[0] = 100;  // the mistake that pageable memory forgives
  check(cudaDeviceSynchronize());
  CHECK(to_host(data, kCount)[0] == 100);
  check(cudaHostUnregister(host.data()));
  CHECK(cudaHostUnregister(host.data()) == cudaErrorHostMemoryNotRegistered);
  check(cudaFree(data));
}

TEST_CASE("copies out of bounds, or of the wrong kind, are refused", "[copies][misuse]") {
  const Scene scene;
  float* data = device_memory(kCount);
  std::vector<float> host(kCount + 1);
  CHECK(cudaMemcpyAsync(data, host.data(), kBytes + 4, cudaMemcpyHostToDevice, nullptr) ==
        cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("12004 bytes from") && Contains("which ends before"));
  CHECK(cudaMemcpyAsync(data, host.data(), kBytes, cudaMemcpyDeviceToHost, nullptr) ==
        cudaErrorInvalidMemcpyDirection);
  CHECK_THAT(take_report(), Contains("destination on the device, source on the host"));
  CHECK(cudaMemsetAsync(host.data(), 0, kBytes, nullptr) == cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("not device memory"));
  CHECK(cudaMemcpyAsync(nullptr, host.data(), kBytes, cudaMemcpyDefault, nullptr) ==
        cudaErrorInvalidValue);
  check(cudaMemcpyAsync(nullptr, nullptr, 0, cudaMemcpyDefault, nullptr));
  check(cudaFree(data));
  CHECK(cudaMemsetAsync(data, 0, kBytes, nullptr) == cudaErrorInvalidValue);
  CHECK_THAT(take_report(), Contains("freed allocation"));
  CHECK_FALSE(device_lost());
}

TEST_CASE("pointers know where they point", "[copies]") {
  const Scene scene;
  float* data = device_memory(kCount);
  float* pinned = pinned_memory();
  float local = 0;
  const auto type = [](const void* pointer) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, pointer));
    return attributes.type;
  };
  CHECK(type(data + 10) == cudaMemoryTypeDevice);
  CHECK(type(pinned + 10) == cudaMemoryTypeHost);
  CHECK(type(&local) == cudaMemoryTypeUnregistered);
  check(cudaFreeHost(pinned));
  CHECK(cudaFreeHost(pinned) == cudaErrorInvalidValue);
  check(cudaFree(data));
  CHECK(type(data) == cudaMemoryTypeUnregistered);
}
