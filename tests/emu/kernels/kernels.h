// Whole kernels that the engine is tested with, as functions that launch them on the default
// stream. They compile with nvcc, too.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace emu_kernels {

/// y = softmax of each of the rows of x, one block of `threads` each.
void softmax(const float* x, float* y, int rows, int columns, int threads);
void softmax(const __half* x, float* y, int rows, int columns, int threads);

/// out (columns x rows) = in (rows x columns) transposed.
void transpose(const float* in, float* out, int rows, int columns);

/// *sum += the sum of x with weights 1, 2, 3, 4 within each float4; *count += n.
void weighted_sum(const float4* x, int n, float* sum, int* count);

/// y += a x, one element per thread or in a grid-stride loop.
void axpy(float a, const float* x, float* y, int n, bool grid_stride);

/// c = a b in f32, row-major, a (m x k) and b (k x n) of T. n and k multiples of 8.
template <class T>
void gemm_mma(const T* a, const T* b, float* c, int m, int n, int k);

/// c (m x n) = op(a) op(b) by TMA and wgmma on `blocks` persistent blocks. AMnMajor: a is k x m,
/// else m x k. BMnMajor: b is k x n, else n x k. Cluster blocks share the loads of b.
template <class T, bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
void gemm_wgmma(const T* a, const T* b, float* c, int m, int n, int k, int blocks);

/// Writes 0, 1, 2, … as `tiles` tiles of 32 x 32, one below the other from (row, column) on.
void store_tiles(float* c, int rows, int columns, int row, int column, int tiles);

}  // namespace emu_kernels
