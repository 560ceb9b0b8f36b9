// A conformance case: a kernel that exercises one wrapper of kernels/cuda/ptx, or one intrinsic,
// and returns everything that it computed. The same sources are compiled by nvcc and for the
// emulator; what the emulator says is what the GPU is compared with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace minidl::conformance {

using Words = std::vector<std::uint32_t>;

struct Case {
  std::string name;
  double tolerance;  ///< 0: all words are equal; else they are floats that differ by no more
  std::function<Words()> run;
};
using Cases = std::vector<Case>;

/// Everything, in the order in which it runs: what later cases lean on comes first.
Cases all_cases();

// One per file.
void add_basic(Cases& cases);
void add_matrix(Cases& cases);
void add_copies(Cases& cases);
void add_clusters(Cases& cases);
void add_tma(Cases& cases);
void add_im2col(Cases& cases);
void add_bulk(Cases& cases);
void add_wgmma_f16(Cases& cases);
void add_wgmma_bf16(Cases& cases);
void add_wgmma_s8(Cases& cases);
void add_wgmma_tf32(Cases& cases);
void add_wgmma_fp8(Cases& cases);

/// "" if a GPU of compute capability 9.0 (or the emulator) is there, else why not.
std::string why_no_device();
/// The GPU's name, driver and runtime, for the report.
std::string describe_device();

}  // namespace minidl::conformance
