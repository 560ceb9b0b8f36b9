#include "minidl/kernels/common/pinned_memory.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>

#include "minidl/kernels/common/cuda_support.h"

namespace minidl {
namespace {

struct Block {
  void* data;
  std::vector<Event> uses;

  bool idle() const {
    return std::all_of(uses.begin(), uses.end(), [](const Event& use) { return use.done(); });
  }
};

class Cache {
 public:
  void* take(std::size_t bytes) {
    const std::size_t size = size_class(bytes);
    const std::scoped_lock lock(mutex_);
    std::vector<Block>& blocks = blocks_[size];
    const auto free =
        std::find_if(blocks.begin(), blocks.end(), [](const Block& b) { return b.idle(); });
    if (free != blocks.end()) {
      void* data = free->data;
      blocks.erase(free);
      return data;
    }
    void* data = kernels::cuda::allocate_pinned(size);
    reserved_ += size;
    return data;
  }

  void give_back(std::size_t bytes, Block block) {
    const std::scoped_lock lock(mutex_);
    blocks_[size_class(bytes)].push_back(std::move(block));
  }

  void drop_idle() {
    const std::scoped_lock lock(mutex_);
    for (auto& [size, blocks] : blocks_) {
      const auto idle = std::partition(blocks.begin(), blocks.end(),
                                       [](const Block& block) { return !block.idle(); });
      for (auto block = idle; block != blocks.end(); ++block) {
        kernels::cuda::free_pinned(block->data);
        reserved_ -= size;
      }
      blocks.erase(idle, blocks.end());
    }
  }

  std::size_t reserved() {
    const std::scoped_lock lock(mutex_);
    return reserved_;
  }

 private:
  // Powers of two, at least a page: few classes, so that blocks of a loader's batches are reused.
  static std::size_t size_class(std::size_t bytes) {
    return std::bit_ceil(std::max<std::size_t>(bytes, 4096));
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<Block>> blocks_;
  std::size_t reserved_ = 0;
};

Cache& cache() {
  static auto* instance = new Cache;  // leaked: buffers may outlive every static
  return *instance;
}

}  // namespace

PinnedBuffer::PinnedBuffer(std::size_t bytes)
    : data_(bytes == 0 ? nullptr : cache().take(bytes)), bytes_(bytes) {}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(uses_, other.uses_);
  return *this;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) cache().give_back(bytes_, {data_, std::move(uses_)});
}

void PinnedBuffer::used_by(const Stream& stream) {
  const auto done = [](const Event& use) { return use.done(); };
  uses_.erase(std::remove_if(uses_.begin(), uses_.end(), done), uses_.end());
  uses_.push_back(stream.record());
}

std::size_t pinned_bytes_reserved() {
  return cache().reserved();
}

void empty_pinned_cache() {
  cache().drop_idle();
}

}  // namespace minidl
