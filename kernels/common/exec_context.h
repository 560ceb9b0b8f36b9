// The first argument of every kernel entry.
#pragma once

#include <cstddef>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/device.h"

namespace minidl {

/// Where a kernel runs and what it may use while it does.
struct ExecContext {
  Device device;

  /// Scratch memory for the duration of one call, counted as workspace.
  Buffer workspace(std::size_t bytes) const {
    return {allocator(device), bytes, MemoryTag::workspace};
  }
};

}  // namespace minidl
