// Bytes from one device to another.
#pragma once

#include <cstddef>

#include "minidl/kernels/common/device.h"
#include "minidl/kernels/common/stream.h"

namespace minidl::kernels {

/// Queues a copy of `bytes` bytes on `stream`, which belongs to a GPU if one of the sides does. The
/// ranges must not overlap. When it returns:
///   - GPU to GPU: nothing may have happened yet.
///   - to the CPU: ordinary memory holds the bytes; pinned memory (PinnedBuffer) holds them once
///     the stream has got there (record an event, and wait for it).
///   - from the CPU: ordinary memory may be changed or freed; pinned memory may be once the stream
///     has got there.
///   - CPU to CPU: the copy is done.
/// Throws Error if a device is not available or failed earlier.
void transfer(void* to, const Device& to_device, const void* from, const Device& from_device,
              std::size_t bytes, const Stream& stream);

}  // namespace minidl::kernels
