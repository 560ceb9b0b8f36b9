#include "cublas.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <memory>

#include <fmt/format.h>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/vendor/library.h"
#include "timing.h"

namespace minidl::bench {
namespace {

// A function of the library: `lt<decltype(cublasLtCreate)>("cublasLtCreate")(…)`.
template <class Function>
Function* lt(const char* name) {
  return kernels::cuda::cublas_lt().get<Function>(name);
}
#define MINIDL_LT(function) lt<decltype(function)>(#function)

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(fmt::format("{}: cuBLAS status {}", call, static_cast<int>(status)));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case f32: return CUDA_R_32F;
    case f16: return CUDA_R_16F;
    case bf16: return CUDA_R_16BF;
    default: throw Error(fmt::format("cuBLASLt: no products of {} here", name(dtype)));
  }
}

constexpr std::size_t kWorkspace = std::size_t{64} << 20;

}  // namespace

std::string why_no_cublas() {
  return kernels::cuda::cublas_lt().why_not();
}

// cuBLASLt thinks in columns: c' = b' a', whose memory is that of our rows.
struct CublasGemm::State {
  ExecContext ctx;
  Buffer workspace;
  cublasLtHandle_t handle{};
  cublasLtMatmulDesc_t product{};
  cublasLtMatrixLayout_t a{}, b{}, c{};
  cublasLtMatmulAlgo_t algorithm{};

  cublasStatus_t multiply(const cublasLtMatmulAlgo_t& with, const void* x, const void* y,
                          void* out) const {
    const float one = 1, zero = 0;
    return MINIDL_LT(cublasLtMatmul)(handle, product, &one, y, b, x, a, &zero, out, c, out, c,
                                     &with, workspace.data(), kWorkspace,
                                     static_cast<cudaStream_t>(ctx.stream.native()));
  }
};

CublasGemm::CublasGemm(const ExecContext& ctx, DType dtype, std::int64_t m, std::int64_t n,
                       std::int64_t k, const void* a, const void* b, void* c)
    : state_(new State{ctx, {allocator(ctx.device), kWorkspace, MemoryTag::workspace}}) {
  State& s = *state_;
  const auto layout = [&](cublasLtMatrixLayout_t& out, std::int64_t rows, std::int64_t columns) {
    check(MINIDL_LT(cublasLtMatrixLayoutCreate)(&out, type_of(dtype),
                                                static_cast<std::uint64_t>(columns),
                                                static_cast<std::uint64_t>(rows), columns),
          "cublasLtMatrixLayoutCreate");
  };
  check(MINIDL_LT(cublasLtCreate)(&s.handle), "cublasLtCreate");
  check(MINIDL_LT(cublasLtMatmulDescCreate)(&s.product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  layout(s.a, m, k);
  layout(s.b, k, n);
  layout(s.c, m, n);

  cublasLtMatmulPreference_t preference{};
  check(MINIDL_LT(cublasLtMatmulPreferenceCreate)(&preference), "cublasLtMatmulPreferenceCreate");
  check(MINIDL_LT(cublasLtMatmulPreferenceSetAttribute)(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace),
        "cublasLtMatmulPreferenceSetAttribute");
  std::array<cublasLtMatmulHeuristicResult_t, 8> proposals{};
  int count = 0;
  check(MINIDL_LT(cublasLtMatmulAlgoGetHeuristic)(s.handle, s.product, s.b, s.a, s.c, s.c,
                                                  preference, static_cast<int>(proposals.size()),
                                                  proposals.data(), &count),
        "cublasLtMatmulAlgoGetHeuristic");
  MINIDL_LT(cublasLtMatmulPreferenceDestroy)(preference);
  double fastest = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const auto& algorithm = proposals.at(i).algo;
    if (s.multiply(algorithm, a, b, c) != CUBLAS_STATUS_SUCCESS) continue;
    const Timing timing = time_on_gpu(
        ctx, [&](std::size_t) { check(s.multiply(algorithm, a, b, c), "cublasLtMatmul"); });
    if (fastest > 0 && timing.microseconds >= fastest) continue;
    fastest = timing.microseconds;
    s.algorithm = algorithm;
  }
  if (fastest == 0) throw Error("cuBLASLt proposes no algorithm that works");
}

CublasGemm::~CublasGemm() {
  MINIDL_LT(cublasLtMatrixLayoutDestroy)(state_->a);
  MINIDL_LT(cublasLtMatrixLayoutDestroy)(state_->b);
  MINIDL_LT(cublasLtMatrixLayoutDestroy)(state_->c);
  MINIDL_LT(cublasLtMatmulDescDestroy)(state_->product);
  MINIDL_LT(cublasLtDestroy)(state_->handle);
  delete state_;
}

void CublasGemm::run(const void* a, const void* b, void* c) {
  check(state_->multiply(state_->algorithm, a, b, c), "cublasLtMatmul");
}

}  // namespace minidl::bench
