// Products and sums that are rounded one by one: nvcc makes fused multiply-adds of a * b + c, and
// what must equal the CPU's results to the bit cannot have that. Not part of the public interface.
#pragma once

#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::kernels::cuda {

/// a + b * c, rounded twice.
__device__ inline float add_product(float a, float b, float c) {
  return __fadd_rn(a, __fmul_rn(b, c));
}
__device__ inline double add_product(double a, double b, double c) {
  return __dadd_rn(a, __dmul_rn(b, c));
}

}  // namespace minidl::kernels::cuda
