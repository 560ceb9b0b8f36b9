// Which tier computes a product; no kernels here.

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/cuda/gemm/gemm.h"
#include "minidl/kernels/cuda/gemm/tiers.h"
#include "minidl/kernels/cuda/runtime/check.h"
#include "minidl/kernels/cuda/runtime/discovery.h"

namespace minidl::kernels::cuda {
namespace {

Capability capability_of(const Device& device) {
  const DeviceCode& code = discovery().devices.at(static_cast<std::size_t>(device.index)).code;
  int processors = 0;
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device.index),
             "cudaDeviceGetAttribute(multiProcessorCount, {})", device.index);
  return {code.major, code.minor, code.specific, processors};
}

bool is_multiple_of_8(std::int64_t stride) {
  return stride % 8 == 0;
}

TensorOperand tensor_operand(const Gemm& gemm, const Matrices& matrices, std::int64_t mn,
                             std::int64_t mn_stride, std::int64_t k_stride) {
  TensorOperand operand{matrices.data,         mn,    gemm.k, gemm.batch, mn_stride, k_stride,
                        matrices.batch_stride, false, false};
  const auto up = [](std::int64_t size) { return (size + 7) / 8 * 8; };
  if (gemm.batch == 1) operand.batch_stride = 0;
  const bool base_aligned = reinterpret_cast<std::uintptr_t>(matrices.data) % 16 == 0 &&
                            is_multiple_of_8(operand.batch_stride);
  // A dimension of size 1 has neighbours, and rows of any distance.
  const std::int64_t rows_k = mn == 1 ? up(gemm.k) : mn_stride;
  const std::int64_t rows_mn = gemm.k == 1 ? up(mn) : k_stride;
  const bool k_dense = k_stride == 1 || gemm.k == 1, mn_dense = mn_stride == 1 || mn == 1;
  // Rows that overlap or stand still are no rows to TMA.
  if (base_aligned && k_dense && is_multiple_of_8(rows_k) && rows_k >= gemm.k) {
    operand.aligned = true;
    operand.mn_stride = rows_k;
    operand.k_stride = 1;
  } else if (base_aligned && mn_dense && is_multiple_of_8(rows_mn) && rows_mn >= mn) {
    operand.aligned = operand.mn_major = true;
    operand.mn_stride = 1;
    operand.k_stride = rows_mn;
  } else {
    operand.mn_major = mn_stride < k_stride;
  }
  return operand;
}

std::string why_not(GemmTier tier, const Capability& capability, const Gemm& gemm) {
  switch (tier) {
    case GemmTier::simt: return why_not_simt(capability, gemm);
    case GemmTier::mma: return why_not_mma(capability, gemm);
    case GemmTier::wgmma: return why_not_wgmma(capability, gemm);
  }
  fail("matmul: there is no tier {}", static_cast<int>(tier));
}

void run(ExecContext& ctx, const Gemm& gemm, GemmTier tier, const Capability& capability) {
  switch (tier) {
    case GemmTier::simt: return gemm_simt(ctx, capability, gemm);
    case GemmTier::mma: return gemm_mma(ctx, capability, gemm);
    case GemmTier::wgmma: return gemm_wgmma(ctx, capability, gemm);
  }
}

bool is_empty(const Gemm& gemm) {
  return gemm.batch == 0 || gemm.m == 0 || gemm.n == 0;
}

}  // namespace

TensorOperand tensor_operand_a(const Gemm& gemm) {
  return tensor_operand(gemm, gemm.a, gemm.m, gemm.a.row_stride, gemm.a.column_stride);
}

TensorOperand tensor_operand_b(const Gemm& gemm) {
  return tensor_operand(gemm, gemm.b, gemm.n, gemm.b.column_stride, gemm.b.row_stride);
}

const char* name(GemmTier tier) {
  switch (tier) {
    case GemmTier::simt: return "simt";
    case GemmTier::mma: return "mma";
    case GemmTier::wgmma: return "wgmma";
  }
  return "?";
}

std::string why_not(GemmTier tier, const Device& device, const Gemm& gemm) {
  return is_empty(gemm) ? "" : why_not(tier, capability_of(device), gemm);
}

void gemm(ExecContext& ctx, const Gemm& gemm) {
  if (is_empty(gemm)) return;
  const Capability capability = capability_of(ctx.device);
  std::string reasons;
  for (const GemmTier tier : {GemmTier::wgmma, GemmTier::mma, GemmTier::simt}) {
    const std::string reason = why_not(tier, capability, gemm);
    if (reason.empty()) return run(ctx, gemm, tier, capability);
    reasons += fmt::format("; {}: {}", name(tier), reason);
  }
  fail("matmul: no kernel for {} on {}{}", gemm.dtype, to_string(ctx.device), reasons);
}

void gemm(ExecContext& ctx, const Gemm& gemm, GemmTier tier) {
  if (is_empty(gemm)) return;
  const Capability capability = capability_of(ctx.device);
  const std::string reason = why_not(tier, capability, gemm);
  check(reason.empty(), "matmul: the {} kernel cannot do this: {}", name(tier), reason);
  run(ctx, gemm, tier, capability);
}

}  // namespace minidl::kernels::cuda
