// cudaMemcpy… and cudaMemset…, with the synchronisation that CUDA documents: a copy to or from
// pinned memory returns at once; one from pageable memory when its source has been read; one to
// pageable memory when it is done.

#include <cstring>
#include <memory>
#include <vector>

#include "access.h"
#include "calls.h"
#include "capture.h"
#include "heap.h"
#include "pinned.h"

namespace emu::runtime {
namespace {

struct Side {
  bool device = false;
  bool pinned = false;
};

// Throws the description of a range that is not inside one block of device memory.
Side classify(const void* pointer, std::size_t bytes) {
  Heap& heap = Heap::instance();
  if (!heap.in_range(pointer)) return {false, is_pinned(pointer, bytes)};
  const std::scoped_lock lock(heap.mutex);
  const Block* block = heap.find(pointer);
  const auto* end = static_cast<const char*>(pointer) + bytes;
  if (block == nullptr || block->is_freed || !block->contains(pointer))
    throw std::string("device memory at " + heap.describe(pointer));
  if (end > block->data + block->bytes) {
    throw std::to_string(bytes) + " bytes from " + heap.describe(pointer) + ", which ends before";
  }
  return {true, false};
}

bool fits(cudaMemcpyKind kind, const Side& to, const Side& from) {
  switch (kind) {
    case cudaMemcpyHostToHost: return !to.device && !from.device;
    case cudaMemcpyHostToDevice: return to.device && !from.device;
    case cudaMemcpyDeviceToHost: return !to.device && from.device;
    case cudaMemcpyDeviceToDevice: return to.device && from.device;
    case cudaMemcpyDefault: return true;
  }
  return false;
}

// The copy itself.
void copy_bytes(void* to, const void* from, std::size_t bytes) {
  require_access(from, bytes, false);
  require_access(to, bytes, true);
  const PinnedAccess reading(from, bytes);
  const PinnedAccess writing(to, bytes);
  std::memmove(to, from, bytes);
}

struct Copy {
  const char* function;
  void* to;
  const void* from;
  std::size_t bytes;
  Side to_side, from_side;
};

std::function<void()> body_of(const Copy& copy, bool captured) {
  const bool stage =
      !captured && copy.to_side.device && !copy.from_side.device && !copy.from_side.pinned;
  if (!stage)
    return [to = copy.to, from = copy.from, bytes = copy.bytes] { copy_bytes(to, from, bytes); };
  const auto* source = static_cast<const char*>(copy.from);
  auto staged = std::make_shared<std::vector<char>>(source, source + copy.bytes);
  return [to = copy.to, staged] { copy_bytes(to, staged->data(), staged->size()); };
}

cudaError_t issue(const Copy& copy, cudaStream_t handle, bool wait) {
  const Stream* stream = stream_of(handle);
  const bool captured = stream != nullptr && stream->capture != nullptr;
  const std::string* name = intern(copy.function);
  Mark mark;
  const cudaError_t error = submit(copy.function, handle, {name, body_of(copy, captured)}, &mark);
  if (error != cudaSuccess || captured) return error;
  if (wait || !(copy.to_side.device || (copy.to_side.pinned && copy.from_side.device))) {
    Queues::instance().wait(mark);
    return cudaSuccess;
  }
  if (copy.to_side.pinned) close_pinned(copy.to, copy.bytes, true, mark.at, name);
  if (copy.from_side.pinned) close_pinned(copy.from, copy.bytes, false, mark.at, name);
  return cudaSuccess;
}

cudaError_t copy(const char* function, void* to, const void* from, std::size_t bytes,
                 cudaMemcpyKind kind, cudaStream_t stream, bool wait) {
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
  if (wait) {
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
  }
  try {
    const Copy made{function, to, from, bytes, classify(to, bytes), classify(from, bytes)};
    if (!fits(kind, made.to_side, made.from_side)) {
      return misuse(function,
                    std::string("the kind does not fit: destination on the ") +
                        (made.to_side.device ? "device" : "host") + ", source on the " +
                        (made.from_side.device ? "device" : "host"),
                    cudaErrorInvalidMemcpyDirection);
    }
    return issue(made, stream, wait);
  } catch (const std::string& what) {
    return misuse(function, what);
  }
}

cudaError_t set(const char* function, void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  try {
    if (!classify(to, bytes).device) return misuse(function, "not device memory");
  } catch (const std::string& what) {
    return misuse(function, what);
  }
  return submit(function, stream, {intern(function), [=] {
                                     require_access(to, bytes, true);
                                     std::memset(to, value, bytes);
                                   }});
}

}  // namespace
}  // namespace emu::runtime

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call("cudaMemcpyAsync", [&] {
    return emu::runtime::copy("cudaMemcpyAsync", to, from, bytes, kind, stream, false);
  });
}

// There is one device.
cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemcpyPeerAsync", [&] {
    if (to_device != 0 || from_device != 0) return cudaErrorInvalidDevice;
    return emu::runtime::copy("cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice,
                              stream, false);
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", [&] {
    return emu::runtime::copy("cudaMemcpy", to, from, bytes, kind, nullptr, true);
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync",
              [&] { return emu::runtime::set("cudaMemsetAsync", to, value, bytes, stream); });
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return call("cudaMemset", [&] {
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    return emu::runtime::set("cudaMemset", to, value, bytes, nullptr);
  });
}
