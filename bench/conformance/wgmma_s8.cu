#include "wgmma_cases.cuh"

namespace minidl::conformance {

void add_wgmma_s8(Cases& cases) {
  add_k_major<std::int8_t, std::int8_t, std::int8_t, std::int32_t>(cases, "s8", EveryN{});
}

}  // namespace minidl::conformance
