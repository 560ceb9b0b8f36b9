// What gemm.cu knows of the three tiers, and what they share on the host. Not part of the public
// interface.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/kernels/cuda/gemm/gemm.h"

namespace minidl::kernels::cuda {

/// What matters here of a GPU and of the code that this build has for it.
struct Capability {
  int major, minor;  ///< of the code
  bool specific;     ///< whether the code has the instructions of that version alone
  int processors;    ///< streaming multiprocessors

  bool at_least(int wanted_major, int wanted_minor) const {
    return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
  }
};

/// An operand as tensor cores see it: k, which is summed over, and the dimension that stays (m of
/// a, n of b), called mn. Strides of dimensions of size 1 are replaced where that helps.
struct TensorOperand {
  const void* data;
  std::int64_t mn, k, batch;  ///< sizes
  std::int64_t mn_stride, k_stride, batch_stride;
  bool mn_major;  ///< neighbours in memory are neighbours along mn
  bool aligned;   ///< 16-bit elements can be fetched in 16-byte pieces along the major dimension
};
TensorOperand tensor_operand_a(const Gemm& gemm);
TensorOperand tensor_operand_b(const Gemm& gemm);

/// "" or why not; `gemm` is not empty.
std::string why_not_simt(const Capability& device, const Gemm& gemm);
std::string why_not_mma(const Capability& device, const Gemm& gemm);
std::string why_not_wgmma(const Capability& device, const Gemm& gemm);

/// Computes what the function above says "" to.
void gemm_simt(ExecContext& ctx, const Capability& device, const Gemm& gemm);
void gemm_mma(ExecContext& ctx, const Capability& device, const Gemm& gemm);
void gemm_wgmma(ExecContext& ctx, const Capability& device, const Gemm& gemm);

}  // namespace minidl::kernels::cuda
