// What becomes of an error that CUDA returns. Apart from check.h for the sake of nvcc, which need
// not read fmt for it.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace minidl::kernels::cuda {

/// What to do about an error: a hint for the person who reads the message, or "".
const char* advice(cudaError_t error);

/// Throws Error: "CALL: CUDA's text (cudaErrorName); advice". CUDA forgets the error.
[[noreturn]] void fail_cuda(cudaError_t error, const std::string& call);

}  // namespace minidl::kernels::cuda
