#include "wgmma_cases.cuh"

namespace minidl::conformance {

void add_wgmma_f16(Cases& cases) {
  add_k_major<__half, __half, __half, float>(cases, "f16", EveryN{});
  add_mn_major<__half>(cases, "f16", SomeN{});
}

}  // namespace minidl::conformance
