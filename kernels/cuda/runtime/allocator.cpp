// A GPU's allocator: CUDA's stream-ordered pool, which is told to keep what is freed.
//
// A block belongs to the stream that was current when it was allocated and is freed in that
// stream's order, after what the stream that is current then holds. So work that is queued on these
// two streams may still use it. Work on a third one must be waited for (Storage::add_use).

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/memory_counters.h"
#include "minidl/kernels/cuda/runtime/check.h"
#include "minidl/kernels/cuda/runtime/reports.h"

namespace minidl::kernels::cuda {
namespace {

class PoolAllocator final : public Allocator {
 public:
  explicit PoolAllocator(int index) : device_{DeviceType::cuda, index} {
    require_device(index);
    make_current(index);
    int pools = 0;
    check_cuda(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index),
               "cudaDeviceGetAttribute(cudaDevAttrMemoryPoolsSupported, cuda:{})", index);
    check(pools != 0,
          "cuda:{} has no memory pools: minidl allocates with cudaMallocAsync, which needs a newer "
          "driver (11.2 or later) outside of virtual machines without it",
          index);
    check_cuda(cudaDeviceGetDefaultMemPool(&pool_, index), "cudaDeviceGetDefaultMemPool(cuda:{})",
               index);
    std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
    check_cuda(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &all),
               "cudaMemPoolSetAttribute(cudaMemPoolAttrReleaseThreshold, maximum)");
    report_record(index);  // now: a kernel that wants it may be captured into a graph
  }

  void* allocate(std::size_t bytes, MemoryTag tag) override {
    if (bytes == 0) return nullptr;
    Stream stream = current_stream(device_);
    check(!stream.capturing(),
          "{} bytes ({}) are allocated on cuda:{} while a graph is captured: allocate them before "
          "the capture, as graphs replay with the same addresses",
          bytes, name(tag), device_.index);
    free_postponed();
    void* data = nullptr;
    const cudaError_t status =
        cudaMallocAsync(&data, bytes, static_cast<cudaStream_t>(stream.native()));
    const std::scoped_lock lock(mutex_);
    check_cuda(status, "cudaMallocAsync({} bytes as {} on cuda:{}, of which minidl uses {})", bytes,
               name(tag), device_.index, counters_.stats().total.current);
    owners_.emplace(data, std::move(stream));
    counters_.add(bytes, tag);
    return data;
  }

  void deallocate(void* data, std::size_t bytes, MemoryTag tag) noexcept override {
    if (data == nullptr) return;
    Freed freed{data, {}, {}};
    {
      const std::scoped_lock lock(mutex_);
      counters_.remove(bytes, tag);
      const auto owner = owners_.find(data);
      freed.owner = std::move(owner->second);
      owners_.erase(owner);
    }
    // A destructor cannot fail. What does has lost the device, which everybody will hear of.
    try {
      const Stream current = current_stream(device_);
      if (current.capturing() || freed.owner.capturing()) {
        const std::scoped_lock lock(mutex_);
        postponed_.push_back(std::move(freed));
        return;
      }
      if (!(current == freed.owner)) freed.last_use = current.record();
      free_now(freed);
    } catch (const Error&) {
      cudaGetLastError();
    }
  }

  void retag(std::size_t bytes, MemoryTag from, MemoryTag to) override {
    const std::scoped_lock lock(mutex_);
    counters_.retag(bytes, from, to);
  }

  MemoryStats stats() const override {
    std::uint64_t reserved = 0;
    check_cuda(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved),
               "cudaMemPoolGetAttribute(cudaMemPoolAttrReservedMemCurrent)");
    const std::scoped_lock lock(mutex_);
    MemoryStats stats = counters_.stats();
    stats.reserved = static_cast<std::int64_t>(reserved);
    return stats;
  }

  void reset_peaks() override {
    const std::scoped_lock lock(mutex_);
    counters_.reset_peaks();
  }

  // Waits: only what is known to be unused goes back.
  void empty_cache() override {
    free_postponed();
    make_current(device_.index);
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize(cuda:{})", device_.index);
    check_cuda(cudaMemPoolTrimTo(pool_, 0), "cudaMemPoolTrimTo(cuda:{}, 0)", device_.index);
  }

 private:
  struct Freed {
    void* data;
    Stream owner;
    Event last_use;  // on the stream that was current, if that is not the owner
  };

  static void free_now(const Freed& freed) {
    freed.owner.wait(freed.last_use);
    check_cuda(cudaFreeAsync(freed.data, static_cast<cudaStream_t>(freed.owner.native())),
               "cudaFreeAsync({}, stream {})", freed.data, freed.owner.native());
  }

  // During a capture, a free would become part of the graph; here is where it is made up for. The
  // captured work itself may use the block only if its owner keeps it, as for every replay.
  void free_postponed() {
    std::vector<Freed> ready;
    {
      const std::scoped_lock lock(mutex_);
      if (postponed_.empty()) return;
      const auto blocked = [](const Freed& freed) { return freed.owner.capturing(); };
      const auto middle = std::partition(postponed_.begin(), postponed_.end(), blocked);
      std::move(middle, postponed_.end(), std::back_inserter(ready));
      postponed_.erase(middle, postponed_.end());
    }
    for (const Freed& freed : ready) free_now(freed);
  }

  Device device_;
  cudaMemPool_t pool_ = nullptr;
  mutable std::mutex mutex_;
  MemoryCounters counters_;
  std::unordered_map<void*, Stream> owners_;
  std::vector<Freed> postponed_;  // freed while a graph was captured
};

}  // namespace

Allocator& allocator(int index) {
  static std::mutex mutex;
  static auto* allocators = new std::unordered_map<int, PoolAllocator*>;  // leaked, both
  const std::scoped_lock lock(mutex);
  PoolAllocator*& instance = (*allocators)[index];
  if (instance == nullptr) instance = new PoolAllocator(index);
  return *instance;
}

}  // namespace minidl::kernels::cuda
