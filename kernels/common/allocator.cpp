#include "minidl/kernels/common/allocator.h"

#include <utility>

namespace minidl {

const char* name(MemoryTag tag) {
  switch (tag) {
    case MemoryTag::param: return "param";
    case MemoryTag::grad: return "grad";
    case MemoryTag::optimizer: return "optimizer";
    case MemoryTag::activation: return "activation";
    case MemoryTag::workspace: return "workspace";
  }
  return "unknown";
}

Buffer::Buffer(Allocator& allocator, std::size_t bytes, MemoryTag tag)
    : allocator_(&allocator), data_(allocator.allocate(bytes, tag)), bytes_(bytes), tag_(tag) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(tag_, other.tag_);
  return *this;
}

Buffer::~Buffer() {
  if (allocator_ != nullptr) allocator_->deallocate(data_, bytes_, tag_);
}

}  // namespace minidl
