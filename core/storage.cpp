#include "minidl/core/storage.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "minidl/kernels/common/check.h"

namespace minidl {

struct Storage::Impl {
  Device device;
  std::size_t bytes = 0;
  MemoryTag tag = MemoryTag::activation;
  void* data = nullptr;
  bool released = false;
  bool fake = false;                   // released for good
  std::function<void(void*)> deleter;  // set for borrowed memory only
  std::uint64_t version = 0;
  const char* last_change = nullptr;
  std::vector<std::shared_ptr<StorageUse>> uses;

  Impl(const Device& on, std::size_t size, MemoryTag counted_as)
      : device(on), bytes(size), tag(counted_as) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    try {
      finish_uses();
    } catch (...) {
      return;  // somebody may still write to the bytes: to leak them is safe, to free them is not
    }
    if (deleter) {
      deleter(data);
    } else if (!released) {
      allocator(device).deallocate(data, bytes, tag);
    }
  }

  void finish_uses() {
    for (const std::shared_ptr<StorageUse>& use : uses) {
      if (!use->done()) use->finish();
    }
    uses.clear();
  }
};

Storage::Storage(std::size_t bytes, const Device& device, MemoryTag tag)
    : impl_(std::make_shared<Impl>(device, bytes, tag)) {
  impl_->released = true;  // until the allocation below has succeeded
  materialize();
}

Storage Storage::borrow(void* data, std::size_t bytes, const Device& device,
                        std::function<void(void*)> deleter) {
  Storage storage;
  storage.impl_ = std::make_shared<Impl>(device, bytes, MemoryTag::activation);
  storage.impl_->data = data;
  storage.impl_->deleter = deleter ? std::move(deleter) : [](void*) {};
  return storage;
}

Storage Storage::fake(std::size_t bytes, const Device& device) {
  Storage storage;
  storage.impl_ = std::make_shared<Impl>(device, bytes, MemoryTag::activation);
  storage.impl_->released = true;
  storage.impl_->fake = true;
  return storage;
}

bool Storage::is_fake() const {
  return impl_->fake;
}

void* Storage::data() const {
  check(!impl_->fake, "a fake tensor has a shape but no elements");
  check(!impl_->released, "the storage behind this tensor was released: materialize it first");
  return impl_->data;
}

std::size_t Storage::bytes() const {
  return impl_->bytes;
}
const Device& Storage::device() const {
  return impl_->device;
}
MemoryTag Storage::tag() const {
  return impl_->tag;
}

void Storage::set_tag(MemoryTag tag) const {
  const bool counted = !impl_->released && !impl_->deleter;
  if (counted) allocator(impl_->device).retag(impl_->bytes, impl_->tag, tag);
  impl_->tag = tag;
}

void Storage::add_use(std::shared_ptr<StorageUse> use) const {
  std::vector<std::shared_ptr<StorageUse>>& uses = impl_->uses;
  uses.erase(
      std::remove_if(uses.begin(), uses.end(), [](const auto& other) { return other->done(); }),
      uses.end());
  if (!use->done()) uses.push_back(std::move(use));
}

void Storage::release() const {
  check(!impl_->deleter, "borrowed memory (from_blob) cannot be released");
  if (impl_->released) return;
  impl_->finish_uses();
  allocator(impl_->device).deallocate(impl_->data, impl_->bytes, impl_->tag);
  impl_->data = nullptr;
  impl_->released = true;
}

void Storage::materialize() const {
  check(!impl_->fake, "a fake tensor has no memory to materialize");
  if (!impl_->released) return;
  impl_->data = allocator(impl_->device).allocate(impl_->bytes, impl_->tag);
  impl_->released = false;
}

bool Storage::released() const {
  return impl_->released;
}
std::uint64_t Storage::version() const {
  return impl_->version;
}
void Storage::bump_version(const char* op) const {
  ++impl_->version;
  impl_->last_change = op;
}
const char* Storage::last_change() const {
  return impl_->last_change;
}

PreserveVersion::PreserveVersion(const Storage& storage)
    : storage_(storage),
      version_(storage.impl_->version),
      last_change_(storage.impl_->last_change) {}

PreserveVersion::~PreserveVersion() {
  storage_.impl_->version = version_;
  storage_.impl_->last_change = last_change_;
}

}  // namespace minidl
