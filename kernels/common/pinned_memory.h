// Host memory that a GPU copies from and to by itself, while the CPU does something else.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "minidl/kernels/common/stream.h"

namespace minidl {

/// A block of pinned memory, from a cache: to pin memory takes milliseconds. In a build without
/// CUDA, or on a machine without a GPU, it is ordinary memory, so callers need not ask.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  /// Uninitialised, aligned to 64. Throws Error when there is no memory left, and while a graph is
  /// captured if the cache has none.
  explicit PinnedBuffer(std::size_t bytes);
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer();

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

  /// Call it after queueing a copy from or to this block: nobody else gets the memory before
  /// `stream` is done with what it holds now.
  void used_by(const Stream& stream);

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<Event> uses_;
};

/// Bytes of pinned memory in use and in the cache.
std::size_t pinned_bytes_reserved();

/// Gives cached blocks that no copy uses back to the system.
void empty_pinned_cache();

}  // namespace minidl
