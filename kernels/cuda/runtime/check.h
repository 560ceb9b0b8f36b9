// Every call of the CUDA runtime is checked here. Not part of the public interface.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <utility>

#include <fmt/format.h>

namespace minidl::kernels::cuda {

/// What to do about an error: a hint for the person who reads the message, or "".
const char* advice(cudaError_t error);

/// Throws Error: "CALL: CUDA's text (cudaErrorName); advice".
[[noreturn]] void fail_cuda(cudaError_t error, const std::string& call);

/// fail_cuda() unless `status` is cudaSuccess. The format names the call and the arguments that
/// matter: check_cuda(cudaMalloc(&p, n), "cudaMalloc({} bytes)", n).
template <class... Args>
void check_cuda(cudaError_t status, fmt::format_string<Args...> call, Args&&... args) {
  if (status != cudaSuccess) [[unlikely]] {
    fail_cuda(status, fmt::format(call, std::forward<Args>(args)...));
  }
}

}  // namespace minidl::kernels::cuda
