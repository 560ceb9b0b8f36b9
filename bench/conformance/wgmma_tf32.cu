#include "wgmma_cases.cuh"

namespace minidl::conformance {

void add_wgmma_tf32(Cases& cases) {
  add_k_major<kernels::cuda::ptx::Tf32, float, float, float>(cases, "tf32", EveryN{});
}

}  // namespace minidl::conformance
