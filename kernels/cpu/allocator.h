#pragma once

#include "minidl/kernels/common/allocator.h"

namespace minidl::kernels::cpu {

/// The process-wide caching allocator of the CPU.
Allocator& allocator();

}  // namespace minidl::kernels::cpu
