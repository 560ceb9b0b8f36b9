#include "wgmma_cases.cuh"

namespace minidl::conformance {

void add_wgmma_bf16(Cases& cases) {
  add_k_major<__nv_bfloat16, __nv_bfloat16, __nv_bfloat16, float>(cases, "bf16", EveryN{});
  add_mn_major<__nv_bfloat16>(cases, "bf16", SomeN{});
}

}  // namespace minidl::conformance
