// The contract: the machine looks as the options say, errors come back as CUDA returns them, and
// what the shim offers through the driver's entry points works.

#include <cuda.h>

#include "scene.h"

using namespace emu;
using namespace emu::scene;

namespace {

int attribute(cudaDeviceAttr which) {
  int value = -1;
  check(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

void barely(int*) {}

cudaError_t driver_entry(const char* symbol, void** function,
                         cudaDriverEntryPointQueryResult* result) {
#if CUDART_VERSION >= 12050
  return cudaGetDriverEntryPointByVersion(symbol, function, 12000, cudaEnableDefault, result);
#else
  return cudaGetDriverEntryPoint(symbol, function, cudaEnableDefault, result);
#endif
}

}  // namespace

TEST_CASE("machines without a device or a driver", "[device]") {
  const Scene scene;
  int count = 77;
  runtime_options().machine = Machine::kNoDevice;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  runtime_options().machine = Machine::kNoDriver;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(static_cast<int>(cudaErrorInsufficientDriver) == 35);
  CHECK(count == 77);
  int version = -1;
  check(cudaDriverGetVersion(&version));
  CHECK(version == 0);
  runtime_options().machine = Machine::kDevice;
  check(cudaGetDeviceCount(&count));
  CHECK(count == 1);
  check(cudaSetDevice(0));
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
}

TEST_CASE("the compute capability decides what a block may have", "[device]") {
  const Scene scene;
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0));
  CHECK(properties.major == 9);
  CHECK(properties.sharedMemPerBlockOptin == 227 * 1024);
  CHECK(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) == 227 * 1024);
  CHECK(attribute(cudaDevAttrWarpSize) == 32);
  runtime_options().compute_major = 7;
  runtime_options().compute_minor = 5;
  CHECK(attribute(cudaDevAttrComputeCapabilityMajor) == 7);
  CHECK(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) == 64 * 1024);
  const auto* kernel = reinterpret_cast<const void*>(barely);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024));
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 65 * 1024) ==
        cudaErrorInvalidValue);
}

TEST_CASE("occupancy follows threads and shared memory", "[device]") {
  const Scene scene;
  const auto blocks = [](int threads, std::size_t shared_bytes) {
    int value = -1;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        &value, reinterpret_cast<const void*>(barely), threads, shared_bytes));
    return value;
  };
  CHECK(blocks(1024, 0) == 2);
  CHECK(blocks(32, 0) == 32);
  CHECK(blocks(128, 100 * 1024) == 2);
  CHECK(blocks(128, 227 * 1024) == 1);
  CHECK(blocks(1025, 0) == 0);
}

TEST_CASE("an error is remembered until it is asked for", "[device]") {
  const Scene scene;
  CHECK(cudaSetDevice(5) == cudaErrorInvalidDevice);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidDevice);
  check(cudaSetDevice(0));
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(std::string(cudaGetErrorName(cudaErrorInvalidDevice)) == "cudaErrorInvalidDevice");
  CHECK(std::string(cudaGetErrorString(cudaErrorInvalidDevice)) == "invalid device ordinal");
}

TEST_CASE("a failing kernel ends the device with its message", "[device][misuse]") {
  const auto policy = GENERATE(Streams::kLate, Streams::kEager);
  const Scene scene(policy);
  enqueue(nullptr, make_launch("too_large", dim3(1), dim3(2048), dim3(1), 0, barely,
                               static_cast<int*>(nullptr)));
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK_THAT(cudaGetErrorString(cudaErrorLaunchFailure), Contains("too_large"));
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, 8) == cudaErrorLaunchFailure);
  reset_device();
  check(cudaMalloc(&pointer, 8));
  check(cudaFree(pointer));
}

TEST_CASE("tensor maps are encoded through the driver's entry point", "[device]") {
  const Scene scene;
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  check(driver_entry("cuTensorMapEncodeTiled", &function, &result));
  REQUIRE(result == cudaDriverEntryPointSuccess);
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  float* data = device_memory(64 * 32);
  CUtensorMap map;
  const cuuint64_t sizes[] = {64, 32};
  const cuuint64_t strides[] = {64 * sizeof(float)};
  const cuuint32_t box[] = {32, 32};
  const cuuint32_t steps[] = {1, 1};
  const auto encode_rank = [&](cuuint32_t rank) {
    return encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, rank, data, sizes, strides, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  CHECK(encode_rank(2) == CUDA_SUCCESS);
  CHECK(encode_rank(0) == CUDA_ERROR_INVALID_VALUE);
  check(driver_entry("cuNothing", &function, &result));
  CHECK(result == cudaDriverEntryPointSymbolNotFound);
  check(cudaFree(data));
}

TEST_CASE("a kernel may not call the runtime", "[device][misuse]") {
  const Scene scene;
  void (*kernel)() = [] { cudaDeviceSynchronize(); };
  enqueue(nullptr, make_launch("calls", dim3(1), dim3(1), dim3(1), 0, kernel));
  check(cudaDeviceSynchronize());
  CHECK_THAT(take_report(), Contains("called from a kernel"));
}
