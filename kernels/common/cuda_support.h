// The few questions that device-independent code asks of the CUDA backend. Answered by
// kernels/cuda/no_cuda.cpp in a build without CUDA.
#pragma once

namespace minidl::kernels::cuda {

/// GPUs that minidl can use; 0 in a build without CUDA.
int device_count();

/// Throws Error, saying why, unless GPU `index` can be used.
void require_device(int index);

}  // namespace minidl::kernels::cuda
