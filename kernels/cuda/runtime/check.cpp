#include "minidl/kernels/cuda/runtime/check.h"

#include "minidl/kernels/common/error.h"

namespace minidl::kernels::cuda {

const char* advice(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "use a smaller batch, or free tensors that are no longer needed";
    case cudaErrorInsufficientDriver: return "install or update the NVIDIA driver";
    case cudaErrorNoDevice: return "look at nvidia-smi and CUDA_VISIBLE_DEVICES";
    case cudaErrorInvalidDevice: return "there are fewer GPUs; nvidia-smi -L lists them";
    case cudaErrorNoKernelImageForDevice:
      return "minidl was built for other GPUs: set CMAKE_CUDA_ARCHITECTURES";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
      return "a kernel that was queued earlier failed, and this process cannot use the GPU any "
             "more; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer finds which one";
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureImplicit:
      return "this cannot be done while a graph is captured: do it before";
    default: return "";
  }
}

void fail_cuda(cudaError_t error, const std::string& call) {
  cudaGetLastError();  // or an unchecked call would find it again, if the device can go on
  std::string message =
      fmt::format("{}: {} ({})", call, cudaGetErrorString(error), cudaGetErrorName(error));
  if (*advice(error) != '\0') message += fmt::format("; {}", advice(error));
  throw Error(message);
}

}  // namespace minidl::kernels::cuda
