// Every call of the CUDA runtime is checked here. Not part of the public interface.
#pragma once

#include <utility>

#include <fmt/format.h>

#include "minidl/kernels/cuda/runtime/fail.h"

namespace minidl::kernels::cuda {

/// fail_cuda() unless `status` is cudaSuccess. The format names the call and the arguments that
/// matter: check_cuda(cudaMalloc(&p, n), "cudaMalloc({} bytes)", n).
template <class... Args>
void check_cuda(cudaError_t status, fmt::format_string<Args...> call, Args&&... args) {
  if (status != cudaSuccess) [[unlikely]] {
    fail_cuda(status, fmt::format(call, std::forward<Args>(args)...));
  }
}

}  // namespace minidl::kernels::cuda
