// Memory by the block, counted by what it is for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "minidl/kernels/common/device.h"

namespace minidl {

/// What a block of memory is used for. Set by whoever makes the tensor: modules tag parameters,
/// autograd tags gradients, optimizers their state, kernels their workspace; all else is
/// activation.
enum class MemoryTag : std::uint8_t { param, grad, optimizer, activation, workspace };
inline constexpr std::size_t kMemoryTags = 5;

/// "param", "grad", …
const char* name(MemoryTag tag);

/// Bytes in use now and at most since the last reset, as asked for (not as rounded by the
/// allocator).
struct MemoryCounter {
  std::int64_t current = 0;
  std::int64_t peak = 0;
};

/// A snapshot of one device's counters.
struct MemoryStats {
  std::array<MemoryCounter, kMemoryTags> by_tag;
  MemoryCounter total;           ///< its peak is the peak of the sum, not the sum of the peaks
  std::int64_t reserved = 0;     ///< bytes held from the system, the allocator's cache included
  std::int64_t allocations = 0;  ///< blocks handed out since the start

  const MemoryCounter& operator[](MemoryTag tag) const {
    return by_tag[static_cast<std::size_t>(tag)];
  }
};

/// A source of memory on one device. Thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;

  /// At least `bytes` bytes, aligned to 64, uninitialised; null for 0 bytes. Throws Error naming
  /// the size when memory is exhausted.
  virtual void* allocate(std::size_t bytes, MemoryTag tag) = 0;

  /// Returns what `allocate` gave, with the same `bytes` and the tag it is counted under now.
  virtual void deallocate(void* data, std::size_t bytes, MemoryTag tag) noexcept = 0;

  /// Moves `bytes` from one counter to another.
  virtual void retag(std::size_t bytes, MemoryTag from, MemoryTag to) = 0;

  virtual MemoryStats stats() const = 0;

  /// Sets every peak to its current value.
  virtual void reset_peaks() = 0;

  /// Gives cached blocks back to the system.
  virtual void empty_cache() = 0;
};

/// The allocator of a device; lives as long as the process.
Allocator& allocator(const Device& device);

inline MemoryStats memory_stats(const Device& device = cpu) {
  return allocator(device).stats();
}

/// A block that frees itself.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Allocator& allocator, std::size_t bytes, MemoryTag tag);
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  Allocator* allocator_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  MemoryTag tag_ = MemoryTag::activation;
};

}  // namespace minidl
