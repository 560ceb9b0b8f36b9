// A block of memory shared by tensors, whose bytes can be given away and brought back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/device.h"

namespace minidl {

/// Somebody who reads or writes a storage's bytes behind the program's back: a collective in
/// flight, work on a stream.
class StorageUse {
 public:
  virtual ~StorageUse() = default;
  /// Whether it needs the bytes no more, well ended or not.
  virtual bool done() const = 0;
  /// Returns once it does not. May throw Error if that does not come about.
  virtual void finish() = 0;
};

/// A handle on shared memory. Views of a tensor hold the same Storage, so they share its bytes, its
/// version and its fate: after `release` every view's data is gone until `materialize`, and none of
/// them needs to know (sharded training gathers and drops parameters this way).
class Storage {
 public:
  /// No storage at all.
  Storage() = default;

  /// `bytes` uninitialised bytes on `device`. Throws Error when the device is not available or out
  /// of memory.
  Storage(std::size_t bytes, const Device& device, MemoryTag tag = MemoryTag::activation);

  /// Memory that somebody else owns; `deleter` runs when the last handle goes. Cannot be released.
  static Storage borrow(void* data, std::size_t bytes, const Device& device,
                        std::function<void(void*)> deleter);

  /// Memory that never exists: its tensors have shapes but no elements (see `fake` in
  /// core/tensor.h).
  static Storage fake(std::size_t bytes, const Device& device);
  bool is_fake() const;

  explicit operator bool() const { return impl_ != nullptr; }

  /// Throws Error when the bytes have been released or are fake. Null where bytes() is 0.
  void* data() const;
  std::size_t bytes() const;
  const Device& device() const;

  MemoryTag tag() const;
  /// Moves the bytes to another counter.
  void set_tag(MemoryTag tag) const;

  /// Bytes are not freed under somebody who uses them: `release`, and the last handle as it goes,
  /// finish every use that is not done. Uses that are done are forgotten when the next one comes.
  void add_use(std::shared_ptr<StorageUse> use) const;

  /// Gives the bytes back to the allocator, after those who use them. The version stays; nothing
  /// happens if already released. Throws what StorageUse::finish throws, and keeps the bytes then.
  void release() const;
  /// Allocates the bytes again, uninitialised. Nothing happens if they are there; fake ones throw
  /// Error.
  void materialize() const;
  bool released() const;

  /// Counts in-place changes, so that autograd notices when a saved tensor was changed.
  std::uint64_t version() const;
  /// `op` (a string that outlives the storage, normally a literal) is named in the resulting error.
  void bump_version(const char* op) const;
  /// The operation of the last in-place change, or null.
  const char* last_change() const;

  /// Handles on this storage.
  long use_count() const { return impl_.use_count(); }
  friend bool operator==(const Storage&, const Storage&) = default;

 private:
  friend class PreserveVersion;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// While it lives, changes of a storage do not count: for writing again, after `materialize`, what
/// was there before `release`. Tensors saved for backward stay valid then, so the bytes must be the
/// same.
class PreserveVersion {
 public:
  explicit PreserveVersion(const Storage& storage);
  ~PreserveVersion();
  PreserveVersion(const PreserveVersion&) = delete;
  PreserveVersion& operator=(const PreserveVersion&) = delete;

 private:
  Storage storage_;
  std::uint64_t version_;
  const char* last_change_;
};

}  // namespace minidl
