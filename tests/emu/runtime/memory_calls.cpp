// Device memory: cudaMalloc, cudaMallocAsync and their pool; pinned host memory.

#include <cstdint>

#include "access.h"
#include "calls.h"
#include "capture.h"
#include "events.h"
#include "heap.h"
#include "pinned.h"
#include "runtime.h"

namespace emu::runtime {
namespace {

// The one pool. It keeps nothing: what is freed is closed for good, so that its use is noticed.
struct Pool {
  std::uint64_t release_threshold = 0;
} pool;

cudaMemPool_t pool_handle() {
  return reinterpret_cast<cudaMemPool_t>(&pool);
}

Block* allocate(std::size_t bytes, bool pooled, const Touch& by) {
  Heap& heap = Heap::instance();
  const std::size_t limit = runtime_options().memory_bytes;
  {
    const std::scoped_lock lock(heap.mutex);
    if (Block* block = heap.allocate(bytes, limit, pooled, by)) return block;
  }
  Queues::instance().wait_all();  // frees may be queued
  const std::scoped_lock lock(heap.mutex);
  return heap.allocate(bytes, limit, pooled, by);
}

cudaError_t allocate_now(void** pointer, std::size_t bytes) {
  static const std::string* name = intern("cudaMalloc");
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t refused = refuse_while_capturing()) return refused;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  const Block* block = allocate(bytes, false, {{}, name});
  if (block == nullptr) return cudaErrorMemoryAllocation;
  *pointer = block->data;
  return cudaSuccess;
}

// Real graphs may hold allocations. Ours may not: memory belongs to whoever replays the graph.
cudaError_t refuse_captured(const char* function, Stream& stream) {
  if (stream.capture == nullptr) return cudaSuccess;
  stream.capture->invalid = true;
  return misuse(function, "the stream is being captured: allocate before the capture",
                cudaErrorStreamCaptureUnsupported);
}

cudaError_t allocate_in_order(void** pointer, std::size_t bytes, cudaStream_t handle) {
  static const std::string* name = intern("cudaMallocAsync");
  Stream* stream = stream_of(handle);
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (stream == nullptr) return misuse("cudaMallocAsync", "no such stream (destroyed?)");
  if (const cudaError_t refused = refuse_captured("cudaMallocAsync", *stream)) return refused;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  Mark mark;
  const cudaError_t error = submit("cudaMallocAsync", handle, {name, {}}, &mark);
  if (error != cudaSuccess) return error;
  const Block* block = allocate(bytes, true, {mark.at, name});
  if (block == nullptr) return cudaErrorMemoryAllocation;
  *pointer = block->data;
  return cudaSuccess;
}

// The block that is to be freed; null after a report.
Block* block_to_free(const char* function, void* pointer) {
  Heap& heap = Heap::instance();
  Block* block = heap.starting_at(pointer);
  if (block == nullptr) {
    misuse(function, heap.describe(pointer) + " is not the start of an allocation");
  } else if (block->is_freed || block->freeing) {
    misuse(function, heap.describe(pointer) + " was already freed, by " + *block->freed.operation);
  } else {
    return block;
  }
  return nullptr;
}

cudaError_t free_now(void* pointer) {
  static const std::string* name = intern("cudaFree");
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t refused = refuse_while_capturing()) return refused;
  Queues::instance().wait_all();
  Heap& heap = Heap::instance();
  const std::scoped_lock lock(heap.mutex);
  Block* block = block_to_free("cudaFree", pointer);
  if (block == nullptr) return cudaErrorInvalidValue;
  heap.release(*block, {{}, name});
  return cudaSuccess;
}

// What a queued free does when its turn has come.
void release_in_order(void* pointer) {
  Heap& heap = Heap::instance();
  const std::scoped_lock lock(heap.mutex);
  Block& block = *heap.starting_at(pointer);
  const Accessor& accessor = *current_accessor();
  const std::string problem = may_free(accessor, block);
  heap.release(block, {accessor.at, accessor.operation});
  if (!problem.empty()) throw DeviceFault{cudaErrorIllegalAddress, problem};
}

cudaError_t free_in_order(void* pointer, cudaStream_t handle) {
  static const std::string* name = intern("cudaFreeAsync");
  if (pointer == nullptr) return cudaSuccess;
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return misuse("cudaFreeAsync", "no such stream (destroyed?)");
  if (const cudaError_t refused = refuse_captured("cudaFreeAsync", *stream)) return refused;
  {
    const std::scoped_lock lock(Heap::instance().mutex);
    Block* block = block_to_free("cudaFreeAsync", pointer);
    if (block == nullptr) return cudaErrorInvalidValue;
    block->freeing = true;
    block->freed.operation = name;
  }
  return submit("cudaFreeAsync", handle, {name, [pointer] { release_in_order(pointer); }});
}

cudaError_t pool_attribute(cudaMemPool_t which, cudaMemPoolAttr attribute, void* value) {
  if (which != pool_handle() || value == nullptr) return cudaErrorInvalidValue;
  auto* number = static_cast<std::uint64_t*>(value);
  Heap& heap = Heap::instance();
  const std::scoped_lock lock(heap.mutex);
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold: *number = pool.release_threshold; break;
    case cudaMemPoolAttrReservedMemCurrent:
    case cudaMemPoolAttrUsedMemCurrent: *number = heap.live_bytes(); break;
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemHigh: *number = heap.peak_bytes(); break;
    default: return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

cudaError_t set_pool_attribute(cudaMemPool_t which, cudaMemPoolAttr attribute, void* value) {
  if (which != pool_handle() || value == nullptr) return cudaErrorInvalidValue;
  const auto number = *static_cast<std::uint64_t*>(value);
  Heap& heap = Heap::instance();
  const std::scoped_lock lock(heap.mutex);
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold: pool.release_threshold = number; break;
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemHigh:
      if (number != 0) return cudaErrorInvalidValue;
      heap.reset_peak();
      break;
    default: return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace emu::runtime

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return call("cudaMalloc", [&] { return allocate_now(pointer, bytes); });
}

cudaError_t cudaFree(void* pointer) {
  return call("cudaFree", [&] { return free_now(pointer); });
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync", [&] { return allocate_in_order(pointer, bytes, stream); });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return call("cudaFreeAsync", [&] { return free_in_order(pointer, stream); });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return call("cudaMemGetInfo", [&] {
    const std::scoped_lock lock(Heap::instance().mutex);
    *total_bytes = emu::runtime_options().memory_bytes;
    *free_bytes = *total_bytes - std::min(*total_bytes, Heap::instance().live_bytes());
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* which, int device) {
  return call("cudaDeviceGetDefaultMemPool", [&] {
    if (which == nullptr || device != 0) return cudaErrorInvalidValue;
    *which = pool_handle();
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t which, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolSetAttribute",
              [&] { return set_pool_attribute(which, attribute, value); });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t which, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolGetAttribute", [&] { return pool_attribute(which, attribute, value); });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t which, std::size_t) {
  return call("cudaMemPoolTrimTo",
              [&] { return which == pool_handle() ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  return call("cudaHostAlloc", [&] {
    constexpr unsigned kKnown =
        cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
    if (pointer == nullptr || (flags & ~kKnown) != 0) return cudaErrorInvalidValue;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    *pointer = allocate_pinned(bytes);
    return *pointer == nullptr && bytes != 0 ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  return call("cudaFreeHost", [&] {
    if (pointer == nullptr) return cudaSuccess;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    Queues::instance().wait_all();
    if (free_pinned(pointer)) return cudaSuccess;
    return misuse("cudaFreeHost", "not the start of pinned memory (freed before?)");
  });
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  return call("cudaHostRegister", [&] {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    return register_pinned(pointer, bytes) ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered;
  });
}

cudaError_t cudaHostUnregister(void* pointer) {
  return call("cudaHostUnregister", [&] {
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    Queues::instance().wait_all();
    return unregister_pinned(pointer) ? cudaSuccess : cudaErrorHostMemoryNotRegistered;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call("cudaPointerGetAttributes", [&] {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    *attributes = {};
    auto* address = const_cast<void*>(pointer);
    Heap& heap = Heap::instance();
    const std::scoped_lock lock(heap.mutex);
    const Block* block = heap.find(pointer);
    if (block != nullptr && !block->is_freed && block->contains(pointer)) {
      attributes->type = cudaMemoryTypeDevice;
      attributes->devicePointer = address;
    } else if (is_pinned(pointer, 1)) {
      attributes->type = cudaMemoryTypeHost;
      attributes->hostPointer = attributes->devicePointer = address;
    } else {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->hostPointer = address;
    }
    return cudaSuccess;
  });
}

emu::LiveResources emu::live_resources() {
  LiveResources live;
  {
    const std::scoped_lock lock(Heap::instance().mutex);
    live.device_blocks = Heap::instance().live_blocks();
    live.device_bytes = Heap::instance().live_bytes();
  }
  live.pinned_blocks = pinned_blocks();
  live.pinned_bytes = pinned_bytes();
  live.streams = Queues::instance().live();
  live.events = live_events();
  live.graphs = live_graphs();
  return live;
}
