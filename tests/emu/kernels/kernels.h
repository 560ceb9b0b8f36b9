// Whole kernels that the engine is tested with, as functions that launch them on the default
// stream. They compile with nvcc, too.
#pragma once

#include <cuda_fp16.h>

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

/// Writes 0, 1, 2, … as `tiles` tiles of 32 x 32, one below the other from (row, column) on.
void store_tiles(float* c, int rows, int columns, int row, int column, int tiles);

}  // namespace emu_kernels
