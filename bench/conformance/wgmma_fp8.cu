#include <cuda_fp8.h>

#include "wgmma_cases.cuh"

namespace minidl::conformance {

void add_wgmma_fp8(Cases& cases) {
  using kernels::cuda::ptx::Mixed;
  using E4 = __nv_fp8_e4m3;
  using E5 = __nv_fp8_e5m2;
  add_k_major<E4, E4, E4, float>(cases, "e4m3", SomeN{});
  add_k_major<E5, E5, E5, float>(cases, "e5m2", SomeN{});
  add_k_major<Mixed<E4, E5>, E4, E5, float>(cases, "e4m3 by e5m2", SomeN{});
  add_k_major<Mixed<E5, E4>, E5, E4, float>(cases, "e5m2 by e4m3", SomeN{});
}

}  // namespace minidl::conformance
