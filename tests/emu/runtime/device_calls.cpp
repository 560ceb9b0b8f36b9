// The device and what it is like: cudaGetDevice…, cudaFunc…, occupancy.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "calls.h"
#include "runtime.h"

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

namespace {

constexpr std::size_t kKiB = 1024;
constexpr int kThreadsPerBlock = 1024;

// What differs between the compute capabilities that minidl has kernels for.
struct Capability {
  std::size_t shared_per_block;  // with opt-in
  int threads_per_sm, blocks_per_sm;
};

Capability capability() {
  const int cc = 10 * emu::runtime_options().compute_major + emu::runtime_options().compute_minor;
  if (cc < 80) return {64 * kKiB, 1024, 16};
  if (cc == 80 || cc == 87) return {163 * kKiB, 2048, 32};
  if (cc < 90) return {99 * kKiB, 1536, 24};
  return {227 * kKiB, 2048, 32};
}

void fill(cudaDeviceProp& p) {
  const Capability c = capability();
  p = {};
  std::snprintf(p.name, sizeof p.name, "minidl emulated device");
  p.totalGlobalMem = emu::runtime_options().memory_bytes;
  p.sharedMemPerBlock = 48 * kKiB;
  p.sharedMemPerBlockOptin = c.shared_per_block;
  p.reservedSharedMemPerBlock = kKiB;
  p.sharedMemPerMultiprocessor = c.shared_per_block + kKiB;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = kThreadsPerBlock;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 2147483647;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.totalConstMem = 64 * kKiB;
  p.major = emu::runtime_options().compute_major;
  p.minor = emu::runtime_options().compute_minor;
  p.multiProcessorCount = 4;  // few, so that persistent kernels loop
  p.maxThreadsPerMultiProcessor = c.threads_per_sm;
  p.maxBlocksPerMultiProcessor = c.blocks_per_sm;
  p.l2CacheSize = 4 << 20;
  p.memoryBusWidth = 5120;
  p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = 1;
  p.streamPrioritiesSupported = p.hostRegisterSupported = p.memoryPoolsSupported = 1;
  p.asyncEngineCount = 2;
  p.clusterLaunch = p.major >= 9 ? 1 : 0;
}

cudaError_t attribute_of(int* value, cudaDeviceAttr attribute) {
  cudaDeviceProp p;
  fill(p);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxBlockDimX: *value = p.maxThreadsDim[0]; break;
    case cudaDevAttrMaxBlockDimY: *value = p.maxThreadsDim[1]; break;
    case cudaDevAttrMaxBlockDimZ: *value = p.maxThreadsDim[2]; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = p.maxGridSize[1]; break;
    case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[2]; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMemoryPoolsSupported: *value = p.memoryPoolsSupported; break;
    case cudaDevAttrUnifiedAddressing: *value = p.unifiedAddressing; break;
    default: return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

cudaError_t one_device(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

}  // namespace

// The one call that tells a machine without a driver from one without a device. Like the real one,
// it leaves the count alone when it fails.
cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", [&] {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&] {
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", [&] { return one_device(device); });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&] {
    const cudaError_t error = one_device(device);
    if (error == cudaSuccess) fill(*properties);
    return error;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", [&] {
    const cudaError_t error = one_device(device);
    return error != cudaSuccess ? error : attribute_of(value, attribute);
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return call("cudaDeviceGetPCIBusId", [&] {
    const cudaError_t error = one_device(device);
    if (error == cudaSuccess) std::snprintf(text, static_cast<std::size_t>(length), "0000:00:00.0");
    return error;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = emu::runtime_options().machine == emu::Machine::kNoDriver ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    if (function == nullptr) return cudaErrorInvalidDeviceFunction;
    switch (attribute) {
      case cudaFuncAttributeMaxDynamicSharedMemorySize:
        if (value >= 0 && static_cast<std::size_t>(value) <= capability().shared_per_block)
          return cudaSuccess;
        return misuse("cudaFuncSetAttribute",
                      std::to_string(value) +
                          " bytes of shared memory are more than a block of "
                          "this device can have");
      case cudaFuncAttributePreferredSharedMemoryCarveout:
      case cudaFuncAttributeNonPortableClusterSizeAllowed: return cudaSuccess;
      default: return cudaErrorInvalidValue;
    }
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call("cudaFuncGetAttributes", [&] {
    if (function == nullptr) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->maxThreadsPerBlock = kThreadsPerBlock;
    attributes->binaryVersion = attributes->ptxVersion =
        10 * emu::runtime_options().compute_major + emu::runtime_options().compute_minor;
    return cudaSuccess;
  });
}

// By threads, blocks and dynamic shared memory: the host compiler knows nothing of registers.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int block_size,
                                                          std::size_t shared_bytes) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (function == nullptr) return cudaErrorInvalidDeviceFunction;
    if (block_size <= 0) return cudaErrorInvalidValue;
    const Capability c = capability();
    const std::size_t by_shared = (c.shared_per_block + kKiB) / (shared_bytes + kKiB);
    *blocks = block_size > kThreadsPerBlock
                  ? 0
                  : std::min({c.threads_per_sm / block_size, c.blocks_per_sm,
                              static_cast<int>(by_shared)});
    return cudaSuccess;
  });
}
