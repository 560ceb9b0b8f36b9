// CUDA's keywords and built-in variables.
#pragma once

#include <cuda_runtime.h>

#include "../thread.h"

// Plain __shared__ variables have no place in the emulator's arena, where accesses are checked.
#undef __shared__
#define __shared__ \
  static_assert(false, "use MINIDL_SHARED or MINIDL_DYNAMIC_SHARED (docs/writing-kernels.md)");

#undef __constant__
#define __constant__
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __cluster_dims__
#define __cluster_dims__(...)
#undef __maxnreg__
#define __maxnreg__(...)

#define threadIdx (::emu::self().thread_index)
#define blockIdx (::emu::self().block_index)
#define blockDim (::emu::self().block_dim)
#define gridDim (::emu::self().grid_dim)

inline constexpr int warpSize = 32;
