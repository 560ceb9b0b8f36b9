// The bookkeeping behind MemoryStats, shared by the allocators of all devices.
#pragma once

#include <algorithm>

#include "minidl/kernels/common/allocator.h"

namespace minidl {

/// Not thread-safe: the allocator's lock protects it.
class MemoryCounters {
 public:
  void add(std::size_t bytes, MemoryTag tag) {
    ++stats_.allocations;
    change(counter(tag), static_cast<std::int64_t>(bytes));
    change(stats_.total, static_cast<std::int64_t>(bytes));
  }
  void remove(std::size_t bytes, MemoryTag tag) {
    change(counter(tag), -static_cast<std::int64_t>(bytes));
    change(stats_.total, -static_cast<std::int64_t>(bytes));
  }
  void retag(std::size_t bytes, MemoryTag from, MemoryTag to) {
    change(counter(from), -static_cast<std::int64_t>(bytes));
    change(counter(to), static_cast<std::int64_t>(bytes));
  }
  void reserve(std::int64_t bytes) { stats_.reserved += bytes; }
  void reset_peaks() {
    for (MemoryCounter& counter : stats_.by_tag) counter.peak = counter.current;
    stats_.total.peak = stats_.total.current;
  }
  const MemoryStats& stats() const { return stats_; }

 private:
  MemoryCounter& counter(MemoryTag tag) { return stats_.by_tag[static_cast<std::size_t>(tag)]; }
  static void change(MemoryCounter& counter, std::int64_t bytes) {
    counter.current += bytes;
    counter.peak = std::max(counter.peak, counter.current);
  }

  MemoryStats stats_;
};

}  // namespace minidl
