// Matrix products on the GPU, in three tiers of which each is the fastest that can do what the next
// cannot:
//
//   simt.cu    f32, f64; any GPU, any strides. simt_tile.cuh is its core, which convolutions share
//   mma.cu     f16 from compute capability 7.5 on, bf16 from 8.0 on; any strides. Tensor cores
//   wgmma.cu   f16, bf16; compute capability 9.0; operands that TMA can fetch. Hopper's own
//
// Products and sums are f64 for f64 and f32 for everything else; 16-bit results are rounded once.
// Sums run over k in an order that tier and shape decide. Not part of the public interface.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/kernels/common/dtype.h"
#include "minidl/kernels/common/exec_context.h"

namespace minidl::kernels::cuda {

/// A batch of matrices in memory. Strides are in elements; 0 stretches.
struct Matrices {
  const void* data;
  std::int64_t row_stride, column_stride, batch_stride;
};

/// out = a b + bias, for every matrix of the batch: a is m x k, b is k x n, out is m x n, row-major
/// without gaps. The bias is a row of n, or null. An empty k gives the bias, or zeros.
struct Gemm {
  DType dtype;  ///< of everything
  std::int64_t batch, m, n, k;
  Matrices a, b;
  const void* bias;
  std::int64_t bias_stride;
  void* out;
};

enum class GemmTier { simt, mma, wgmma };
inline constexpr GemmTier kGemmTiers[] = {GemmTier::simt, GemmTier::mma, GemmTier::wgmma};

/// "simt", "mma" or "wgmma"
const char* name(GemmTier tier);

/// "" if the tier can compute this on this device, else one line that says why not.
std::string why_not(GemmTier tier, const Device& device, const Gemm& gemm);

/// By the highest tier that can. Throws Error, naming dtype and device, if none can.
void gemm(ExecContext& ctx, const Gemm& gemm);

/// By that tier. Throws Error with why_not() if it cannot.
void gemm(ExecContext& ctx, const Gemm& gemm, GemmTier tier);

}  // namespace minidl::kernels::cuda
