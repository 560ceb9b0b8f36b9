// Tensor maps, made on the host: what TMA knows of a tensor in global memory and of the boxes that
// it moves. Not part of the public interface.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#ifndef MINIDL_EMULATED
#include <cudaTypedefs.h>
#endif

#include "minidl/kernels/common/error.h"

namespace minidl::kernels::cuda {

/// A tensor of 1 to 5 dimensions, innermost first, and its boxes.
struct TensorMapConfig {
  const char* name;  ///< the tensor's, for messages
  const void* base;  ///< a multiple of 16
  CUtensorMapDataType type;
  unsigned element_bytes;                        ///< of the type
  std::initializer_list<std::uint64_t> sizes;    ///< elements
  std::initializer_list<std::uint64_t> strides;  ///< bytes, of all dimensions but the first
  std::initializer_list<std::uint32_t> box;      ///< elements, at most 256 each
  unsigned swizzle = 128;                        ///< bytes: 128, 64, 32, or 0 for none
};

/// The tensor map, to be passed to kernels as a const __grid_constant__ parameter. Throws Error
/// where the driver would only say "invalid value".
inline CUtensorMap make_tensor_map(const TensorMapConfig& config) {
  const auto refuse = [&](const std::string& why) {
    throw Error(std::string("tensor map of ") + config.name + ": " + why);
  };
  const auto rank = static_cast<unsigned>(config.sizes.size());
  if (rank < 1 || rank > 5) refuse("1 to 5 dimensions, not " + std::to_string(rank));
  if (config.strides.size() + 1 != rank || config.box.size() != rank) {
    refuse("of " + std::to_string(rank) + " dimensions it wants " + std::to_string(rank - 1) +
           " strides and a box of " + std::to_string(rank));
  }
  if (reinterpret_cast<std::uintptr_t>(config.base) % 16 != 0 || config.base == nullptr) {
    refuse("its address must be a multiple of 16");
  }
  for (const std::uint64_t size : config.sizes) {
    if (size == 0 || size > std::uint64_t{1} << 32) {
      refuse("a size of " + std::to_string(size) + "; 1 to 2^32");
    }
  }
  for (const std::uint64_t stride : config.strides) {
    if (stride % 16 != 0 || stride >= std::uint64_t{1} << 40) {
      refuse("a stride of " + std::to_string(stride) +
             " bytes; multiples of 16 below 2^40: pad the rows");
    }
  }
  for (const std::uint32_t extent : config.box) {
    if (extent == 0 || extent > 256) {
      refuse("a box of " + std::to_string(extent) + " elements along a dimension; 1 to 256");
    }
  }
  const unsigned row = *config.box.begin() * config.element_bytes, swizzle = config.swizzle;
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128) {
    refuse("a swizzle of " + std::to_string(swizzle) + " bytes; 0, 32, 64 or 128");
  }
  if (row % 16 != 0 || (swizzle != 0 && row > swizzle)) {
    refuse("box rows of " + std::to_string(row) + " bytes; multiples of 16" +
           (swizzle != 0 ? ", at most the swizzle's " + std::to_string(swizzle) : ""));
  }

  // Not returned by name: g++ does not align what it constructs in the place of a discarded result.
  struct {
    CUtensorMap map;
  } result{};
  cuuint64_t sizes[5]{}, strides[5]{};
  cuuint32_t box[5]{};
  const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
  std::copy(config.sizes.begin(), config.sizes.end(), sizes);
  std::copy(config.strides.begin(), config.strides.end(), strides);
  std::copy(config.box.begin(), config.box.end(), box);
  const auto mode = swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                    : swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                    : swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                    : CU_TENSOR_MAP_SWIZZLE_NONE;
#ifdef MINIDL_EMULATED
  const auto encode = emu::encode_tiled;
#else
  // Through the runtime: linking libcuda would keep programs from starting without a driver.
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                                12000, cudaEnableDefault, &found);
#else
    const cudaError_t status =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    if (status != cudaSuccess || function == nullptr) {
      throw Error("the driver has no cuTensorMapEncodeTiled: it is older than CUDA 12");
    }
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
#endif
  const CUresult status =
      encode(&result.map, config.type, rank, const_cast<void*>(config.base), sizes, strides, box,
             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, mode, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    refuse("the driver refuses it, CUresult " + std::to_string(static_cast<int>(status)));
  }
  return result.map;
}

}  // namespace minidl::kernels::cuda
