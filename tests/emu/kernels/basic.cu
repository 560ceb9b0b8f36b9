#include <cuda_fp16.h>

#include <cmath>

#include "kernels.h"
#include "minidl/kernels/cuda/launch.cuh"

namespace emu_kernels {
namespace {

using minidl::kernels::cuda::launch;

constexpr unsigned kAll = 0xffffffff;
__constant__ float weights[4] = {1, 2, 3, 4};

__device__ float warp_sum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kAll, value, step);
  return value;
}
__device__ float warp_max(float value) {
  for (int step = 16; step > 0; step /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAll, value, step));
  }
  return value;
}

template <class T>
__global__ void __launch_bounds__(1024)
    softmax_kernel(const T* __restrict__ x, float* __restrict__ y, int columns) {
  MINIDL_SHARED(float, part, [32]);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int lane = thread % 32, warp = thread / 32, warps = threads / 32;
  const T* row = x + std::size_t{blockIdx.x} * static_cast<std::size_t>(columns);
  float* out = y + std::size_t{blockIdx.x} * static_cast<std::size_t>(columns);

  float largest = -INFINITY;
  for (int i = thread; i < columns; i += threads) {
    largest = fmaxf(largest, static_cast<float>(row[i]));
  }
  largest = warp_max(largest);
  if (lane == 0) part[warp] = largest;
  __syncthreads();
  largest = warp_max(lane < warps ? part[lane] : -INFINITY);
  __syncthreads();  // everyone has read part before it is used again

  float sum = 0;
  for (int i = thread; i < columns; i += threads) {
    sum += __expf(static_cast<float>(row[i]) - largest);
  }
  sum = warp_sum(sum);
  if (lane == 0) part[warp] = sum;
  __syncthreads();
  sum = warp_sum(lane < warps ? part[lane] : 0.0F);
  for (int i = thread; i < columns; i += threads) {
    out[i] = __expf(static_cast<float>(row[i]) - largest) / sum;
  }
}

__global__ void transpose_kernel(const float* in, float* out, int rows, int columns) {
  MINIDL_DYNAMIC_SHARED(float, tile);  // 32 rows of 33
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int bx = static_cast<int>(blockIdx.x) * 32, by = static_cast<int>(blockIdx.y) * 32;
  for (int j = ty; j < 32; j += 8) {
    if (bx + tx < columns && by + j < rows) {
      tile[j * 33 + tx] = in[(by + j) * columns + bx + tx];
    }
  }
  __syncthreads();
  for (int j = ty; j < 32; j += 8) {
    if (by + tx < rows && bx + j < columns) out[(bx + j) * rows + by + tx] = tile[tx * 33 + j];
  }
}

__global__ void weighted_sum_kernel(const float4* x, int n, float* sum, int* count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float mine = 0;
  if (i < n) {
    const float4 v = x[i];
    mine = v.x * weights[0] + v.y * weights[1] + v.z * weights[2] + v.w * weights[3];
  }
  const unsigned taken = __ballot_sync(kAll, i < n);
  mine = warp_sum(mine);
  if (threadIdx.x % 32 == 0) {
    atomicAdd(sum, mine);
    atomicAdd(count, __popc(taken));
  }
}

__global__ void axpy_kernel(float a, const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += a * x[i];
}

__global__ void axpy_stride_kernel(float a, const float* x, float* y, int n) {
  const int threads = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += threads) {
    y[i] += a * x[i];
  }
}

unsigned ceil_div(int a, int b) {
  return static_cast<unsigned>((a + b - 1) / b);
}

}  // namespace

void softmax(const float* x, float* y, int rows, int columns, int threads) {
  launch(
      {"softmax<float>", dim3(static_cast<unsigned>(rows)), dim3(static_cast<unsigned>(threads))},
      softmax_kernel<float>, x, y, columns);
}

void softmax(const __half* x, float* y, int rows, int columns, int threads) {
  launch({"softmax<half>", dim3(static_cast<unsigned>(rows)), dim3(static_cast<unsigned>(threads))},
         softmax_kernel<__half>, x, y, columns);
}

void transpose(const float* in, float* out, int rows, int columns) {
  launch({"transpose", dim3(ceil_div(columns, 32), ceil_div(rows, 32)), dim3(32, 8), 32 * 33 * 4},
         transpose_kernel, in, out, rows, columns);
}

void weighted_sum(const float4* x, int n, float* sum, int* count) {
  launch({"weighted_sum", dim3(ceil_div(n, 128)), dim3(128)}, weighted_sum_kernel, x, n, sum,
         count);
}

void axpy(float a, const float* x, float* y, int n, bool grid_stride) {
  if (grid_stride) {
    launch({"axpy", dim3(64), dim3(256)}, axpy_stride_kernel, a, x, y, n);
  } else {
    launch({"axpy", dim3(ceil_div(n, 256)), dim3(256)}, axpy_kernel, a, x, y, n);
  }
}

}  // namespace emu_kernels
