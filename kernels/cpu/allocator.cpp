// The CPU's caching allocator. The first touch of fresh pages costs far more than using warm ones,
// so freed blocks are kept by size class and handed out again, last in first out.

#include "minidl/kernels/cpu/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/memory_counters.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Rounds up to one of eight classes per power of two: at most 12.5 % of a block is wasted.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= 8 * kAlignment) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

class CachingAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes, MemoryTag tag) override {
    if (bytes == 0) return nullptr;
    const std::size_t rounded = size_class(bytes);
    const std::scoped_lock lock(mutex_);
    void* data = take_cached(rounded);
    if (data == nullptr) data = from_system(rounded);
    if (data == nullptr) {
      drop_cache();
      data = from_system(rounded);
    }
    check(
        data != nullptr,
        "out of memory: {} bytes on the CPU could not be allocated ({} are in use); use a smaller "
        "batch",
        bytes, counters_.stats().total.current);
    counters_.add(bytes, tag);
    return data;
  }

  void deallocate(void* data, std::size_t bytes, MemoryTag tag) noexcept override {
    if (data == nullptr) return;
    const std::scoped_lock lock(mutex_);
    counters_.remove(bytes, tag);
    cache_[size_class(bytes)].push_back(data);
  }

  void retag(std::size_t bytes, MemoryTag from, MemoryTag to) override {
    const std::scoped_lock lock(mutex_);
    counters_.retag(bytes, from, to);
  }

  MemoryStats stats() const override {
    const std::scoped_lock lock(mutex_);
    return counters_.stats();
  }

  void reset_peaks() override {
    const std::scoped_lock lock(mutex_);
    counters_.reset_peaks();
  }

  void empty_cache() override {
    const std::scoped_lock lock(mutex_);
    drop_cache();
  }

 private:
  void* take_cached(std::size_t rounded) {
    const auto found = cache_.find(rounded);
    if (found == cache_.end() || found->second.empty()) return nullptr;
    void* data = found->second.back();
    found->second.pop_back();
    return data;
  }

  void* from_system(std::size_t rounded) {
    const bool huge = rounded >= 2 * kHugePage;
    const std::size_t alignment = huge ? kHugePage : kAlignment;
    const std::size_t size = (rounded + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, size);
    if (data == nullptr) return nullptr;
#if defined(__linux__)
    if (huge) madvise(data, size, MADV_HUGEPAGE);  // an eighth of the page faults; a hint only
#endif
    counters_.reserve(static_cast<std::int64_t>(rounded));
    return data;
  }

  void drop_cache() {
    for (auto& [rounded, blocks] : cache_) {
      for (void* data : blocks) std::free(data);
      counters_.reserve(-static_cast<std::int64_t>(rounded * blocks.size()));
      blocks.clear();
    }
  }

  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> cache_;
  MemoryCounters counters_;
};

}  // namespace

Allocator& allocator() {
  static auto* instance = new CachingAllocator;  // leaked: tensors may outlive every static
  return *instance;
}

}  // namespace minidl::kernels::cpu

namespace minidl {

Allocator& allocator(const Device& device) {
  return device.is_cuda() ? kernels::cuda::allocator(device.index) : kernels::cpu::allocator();
}

}  // namespace minidl
