// The one way to launch a kernel, and the two ways to shared memory. Everything here and in ptx/
// has two bodies: one for the device and one for the emulator of tests/emu, which defines
// MINIDL_EMULATED. For kernels of your own, too: minidl_add_cuda_sources compiles them.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/runtime/fail.h"

// MINIDL_SHARED(float, tile, [32][33]);          a variable `tile` in static shared memory
// MINIDL_DYNAMIC_SHARED(unsigned char, bytes);   a pointer to the launch's dynamic shared memory
//
// Static variables are aligned to 16 bytes, dynamic memory to 1024: nvcc keeps the first alignment
// of an extern __shared__ array that it meets in a file, so all of them ask for the largest.
#ifdef MINIDL_EMULATED
#define MINIDL_SHARED(T, name, ...)           \
  struct minidl_##name##_tag {};              \
  using minidl_##name##_type = T __VA_ARGS__; \
  auto& name = ::emu::static_shared<minidl_##name##_type, minidl_##name##_tag>()
#define MINIDL_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::emu::dynamic_shared())
#else
#define MINIDL_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define MINIDL_DYNAMIC_SHARED(T, name)                                     \
  extern __shared__ __align__(1024) unsigned char minidl_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(minidl_dynamic_shared)
#endif

namespace minidl::kernels::cuda {

struct LaunchConfig {
  const char* name;  ///< the kernel's, for messages
  dim3 grid, block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory of a block, up to 227 KiB
  cudaStream_t stream = nullptr;
  dim3 cluster = dim3(1, 1, 1);  ///< blocks that run together, sm_90
};

/// Throws Error unless CUDA takes such a launch: the sizes, not what the device at hand has.
inline void check_launch(const LaunchConfig& config) {
  const auto text = [](const dim3& d) {
    return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) +
           ")";
  };
  const auto refuse = [&](const std::string& why) {
    throw Error(std::string(config.name) + ": cannot launch " + why);
  };
  const dim3 &grid = config.grid, &block = config.block, &cluster = config.cluster;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
    refuse("blocks of " + text(block) + " threads: there may be 1 to 1024, 64 along z");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535) {
    refuse("a grid of " + text(grid) +
           " blocks: there may be 1 to 2147483647 along x, 65535 along y and z");
  }
  const std::uint64_t blocks = std::uint64_t{cluster.x} * cluster.y * cluster.z;
  if (blocks == 0 || blocks > 16) {
    refuse("clusters of " + text(cluster) + " blocks: there may be 1 to 16");
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    refuse("a grid of " + text(grid) + " blocks in clusters of " + text(cluster) +
           ": not a multiple");
  }
  constexpr std::size_t kMaxShared = 227 * 1024;
  if (config.shared_bytes > kMaxShared) {
    refuse("blocks with " + std::to_string(config.shared_bytes) +
           " bytes of shared memory: there are " + std::to_string(kMaxShared));
  }
}

#ifdef MINIDL_EMULATED
/// `refusal` is CUDA's text, or null.
inline void check_launched(const LaunchConfig& config, const char* refusal) {
  if (refusal == nullptr) return;
  throw Error(std::string(config.name) + ": launch failed: " + refusal);
}
#else
inline void check_launched(const LaunchConfig& config, cudaError_t status) {
  if (status != cudaSuccess) fail_cuda(status, std::string(config.name) + ": launch failed");
}

/// Lets the kernel have that much dynamic shared memory. What it asks for is the most that the
/// device has beside the kernel's static memory, so that launches with less, from other threads
/// too, change nothing.
template <class... Parameters>
void allow_shared_memory(const LaunchConfig& config, void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes{};
  check_launched(config, cudaFuncGetAttributes(&attributes, kernel));
  if (config.shared_bytes <= static_cast<std::size_t>(attributes.maxDynamicSharedSizeBytes)) return;
  int device = 0, most = 0;
  check_launched(config, cudaGetDevice(&device));
  check_launched(config,
                 cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  most -= static_cast<int>(attributes.sharedSizeBytes);
  if (config.shared_bytes > static_cast<std::size_t>(most)) {
    throw Error(std::string(config.name) + ": cannot launch blocks with " +
                std::to_string(config.shared_bytes) +
                " bytes of dynamic shared memory: there are " + std::to_string(most) +
                " on this device");
  }
  check_launched(config,
                 cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
}
#endif

/// Queues the kernel on config.stream, with the arguments converted to its parameter types and
/// copied. Throws Error, naming the kernel, if it cannot be launched; what goes wrong while it runs
/// comes out where the stream is waited for.
template <class... Parameters, class... Arguments>
void launch(const LaunchConfig& config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  check_launch(config);
#ifdef MINIDL_EMULATED
  check_launched(config, emu::enqueue(config.stream,
                                      emu::make_launch(config.name, config.grid, config.block,
                                                       config.cluster, config.shared_bytes, kernel,
                                                       std::forward<Arguments>(arguments)...)));
#else
  if (config.shared_bytes > 0) allow_shared_memory(config, kernel);
  cudaLaunchConfig_t launch_config{};
  launch_config.gridDim = config.grid;
  launch_config.blockDim = config.block;
  launch_config.dynamicSmemBytes = config.shared_bytes;
  launch_config.stream = config.stream;
  cudaLaunchAttribute attribute{};
  const unsigned blocks = config.cluster.x * config.cluster.y * config.cluster.z;
  constexpr unsigned kPortableCluster = 8;
  if (blocks > kPortableCluster) {
    check_launched(config,
                   cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  }
  if (blocks > 1) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = config.cluster.x;
    attribute.val.clusterDim.y = config.cluster.y;
    attribute.val.clusterDim.z = config.cluster.z;
    launch_config.attrs = &attribute;
    launch_config.numAttrs = 1;
  }
  check_launched(config,
                 cudaLaunchKernelEx(&launch_config, kernel, std::forward<Arguments>(arguments)...));
#endif
}

}  // namespace minidl::kernels::cuda
