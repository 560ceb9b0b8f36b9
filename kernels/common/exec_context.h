// The first argument of every kernel entry.
#pragma once

#include <cstddef>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/device.h"
#include "minidl/kernels/common/stream.h"

namespace minidl {

/// Where a kernel runs and what it may use while it does.
struct ExecContext {
  Device device;
  Stream stream = current_stream(device);

  /// Scratch memory for the duration of one call, counted as workspace. On a GPU it is allocated
  /// and freed in the order of `stream`, so it may go before the kernel that uses it has run.
  Buffer workspace(std::size_t bytes) const {
    const StreamGuard guard(device, stream);
    return {allocator(device), bytes, MemoryTag::workspace};
  }
};

}  // namespace minidl
