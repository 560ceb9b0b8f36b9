// Copies between devices, and the host memory that makes them asynchronous.

#include <cuda_runtime_api.h>

#include <cstdlib>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/cuda/runtime/check.h"
#include "minidl/kernels/cuda/runtime/reports.h"

namespace minidl::kernels::cuda {
namespace {

cudaMemcpyKind kind_of(const Device& to, const Device& from) {
  if (to.is_cpu()) return cudaMemcpyDeviceToHost;
  return from.is_cpu() ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice;
}

}  // namespace

void transfer(void* to, const Device& to_device, const void* from, const Device& from_device,
              std::size_t bytes, const Stream& stream) {
  const Device& gpu = to_device.is_cuda() ? to_device : from_device;
  require_device(gpu.index);
  make_current(gpu.index);
  check(stream.backend() != nullptr, "transfer: a copy to or from {} needs a stream of that device",
        to_string(gpu));
  const auto native = static_cast<cudaStream_t>(stream.native());
  // Memory pools are closed to other GPUs; cudaMemcpyPeerAsync needs no access.
  const bool between = to_device.is_cuda() && from_device.is_cuda() && to_device != from_device;
  check_cuda(
      between ? cudaMemcpyPeerAsync(to, to_device.index, from, from_device.index, bytes, native)
              : cudaMemcpyAsync(to, from, bytes, kind_of(to_device, from_device), native),
      "{}({} bytes from {} to {}, stream {})", between ? "cudaMemcpyPeerAsync" : "cudaMemcpyAsync",
      bytes, to_string(from_device), to_string(to_device), stream.native());
  if (to_device.is_cpu()) throw_reports(gpu.index);  // it has waited, unless the memory is pinned
}

void* allocate_pinned(std::size_t bytes) {
  void* data = nullptr;
  if (device_count() == 0) {
    data = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    check(data != nullptr, "out of memory: {} bytes on the CPU could not be allocated", bytes);
    return data;
  }
  check_cuda(cudaMallocHost(&data, bytes), "cudaMallocHost({} bytes)", bytes);
  return data;
}

void free_pinned(void* data) noexcept {
  if (device_count() == 0) {
    std::free(data);
  } else {
    cudaFreeHost(data);  // at exit, the driver may have gone before us
  }
}

}  // namespace minidl::kernels::cuda
