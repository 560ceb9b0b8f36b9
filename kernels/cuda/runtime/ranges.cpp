// Ranges for NVIDIA's tools. NVTX is headers only, and does nothing where no tool is attached.

#include "minidl/kernels/common/cuda_support.h"

#if __has_include(<nvtx3/nvToolsExt.h>)  // pip's CUDA headers come without it
#include <nvtx3/nvToolsExt.h>
#define MINIDL_NVTX(call) call
#else
#define MINIDL_NVTX(call)
#endif

namespace minidl::kernels::cuda {

void push_range([[maybe_unused]] const char* name) noexcept {
  MINIDL_NVTX(nvtxRangePushA(name));
}

void pop_range() noexcept {
  MINIDL_NVTX(nvtxRangePop());
}

}  // namespace minidl::kernels::cuda
