// cuBLASLt, the peer of our matrix products, loaded when it is first used.
#pragma once

#include <cstddef>
#include <string>

#include "minidl/kernels/common/dtype.h"
#include "minidl/kernels/common/exec_context.h"

namespace minidl::bench {

/// "" if cuBLASLt is there, else what was tried.
std::string why_no_cublas();

/// c = a b by the fastest of the algorithms that cuBLASLt proposes, all row-major without gaps, f32
/// sums.
class CublasGemm {
 public:
  CublasGemm(const ExecContext& ctx, DType dtype, std::int64_t m, std::int64_t n, std::int64_t k,
             const void* a, const void* b, void* c);
  ~CublasGemm();
  CublasGemm(const CublasGemm&) = delete;
  CublasGemm& operator=(const CublasGemm&) = delete;

  void run(const void* a, const void* b, void* c);

 private:
  struct State;
  State* state_;
};

}  // namespace minidl::bench
