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
  bool nan_fill = false;                         ///< NaN, not zero, outside of a float tensor
};

/// Images N(D)(H)WC as dimensions C, W(, H(, D)), N, and how an im2col load goes through them, see
/// tma_im2col.cuh. Corners and steps are those of W(, H(, D)).
struct Im2colMapConfig {
  const char* name;
  const void* base;
  CUtensorMapDataType type;
  unsigned element_bytes;
  std::initializer_list<std::uint64_t> sizes;
  std::initializer_list<std::uint64_t> strides;
  std::initializer_list<int> lower;            ///< the bounding box's first place
  std::initializer_list<int> upper;            ///< its last one, minus the tensor's last one
  std::initializer_list<std::uint32_t> steps;  ///< 1 to 8
  std::uint32_t channels;                      ///< of each pixel in a box, at most 256
  std::uint32_t pixels;                        ///< of a box, at most 1024
  unsigned swizzle = 128;
  bool nan_fill = false;
};

/// Arguments of the driver's functions, from either kind of configuration.
struct TensorMapArguments {
  const char* name;
  unsigned rank;
  void* base = nullptr;
  cuuint64_t sizes[5]{}, strides[5]{};
  CUtensorMapSwizzle swizzle{};
  CUtensorMapFloatOOBfill fill{};

  template <class Config>
  TensorMapArguments(const Config& config, unsigned min_rank)
      : name(config.name), rank(static_cast<unsigned>(config.sizes.size())) {
    if (rank < min_rank || rank > 5) {
      refuse(std::to_string(min_rank) + " to 5 dimensions, not " + std::to_string(rank));
    }
    if (config.strides.size() + 1 != rank) {
      refuse("of " + std::to_string(rank) + " dimensions it wants " + std::to_string(rank - 1) +
             " strides");
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
    if (config.swizzle != 0 && config.swizzle != 32 && config.swizzle != 64 &&
        config.swizzle != 128) {
      refuse("a swizzle of " + std::to_string(config.swizzle) + " bytes; 0, 32, 64 or 128");
    }
    std::copy(config.sizes.begin(), config.sizes.end(), sizes);
    std::copy(config.strides.begin(), config.strides.end(), strides);
    base = const_cast<void*>(config.base);
    swizzle = config.swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
              : config.swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
              : config.swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                     : CU_TENSOR_MAP_SWIZZLE_NONE;
    fill = config.nan_fill ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                           : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(std::string("tensor map of ") + name + ": " + why);
  }
  void require_row(unsigned row, unsigned span) const {
    if (row % 16 == 0 && (span == 0 || row <= span)) return;
    refuse("box rows of " + std::to_string(row) + " bytes; multiples of 16" +
           (span != 0 ? ", at most the swizzle's " + std::to_string(span) : ""));
  }
  void require(CUresult status) const {
    if (status == CUDA_SUCCESS) return;
    refuse("the driver refuses it, CUresult " + std::to_string(static_cast<int>(status)));
  }
};

#ifndef MINIDL_EMULATED
/// A function of the driver, found through the runtime: linking libcuda would keep programs from
/// starting without a driver.
template <class Function>
Function tensor_map_encoder(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  const cudaError_t status =
      cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t status = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found);
#endif
  if (status != cudaSuccess || function == nullptr) {
    throw Error(std::string("the driver has no ") + name + ": it is older than CUDA 12");
  }
  return reinterpret_cast<Function>(function);
}
#endif

/// The tensor map, to be passed to kernels as a const __grid_constant__ parameter. Throws Error
/// where the driver would only say "invalid value".
inline CUtensorMap make_tensor_map(const TensorMapConfig& config) {
  const TensorMapArguments a(config, 1);
  if (config.box.size() != a.rank) {
    a.refuse("of " + std::to_string(a.rank) + " dimensions it wants a box of as many");
  }
  for (const std::uint32_t extent : config.box) {
    if (extent == 0 || extent > 256) {
      a.refuse("a box of " + std::to_string(extent) + " elements along a dimension; 1 to 256");
    }
  }
  a.require_row(*config.box.begin() * config.element_bytes, config.swizzle);
  // Not returned by name: g++ does not align what it constructs in the place of a discarded result.
  struct {
    CUtensorMap map;
  } result{};
  const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
#ifdef MINIDL_EMULATED
  const auto encode = emu::encode_tiled;
#else
  static const auto encode =
      tensor_map_encoder<PFN_cuTensorMapEncodeTiled_v12000>("cuTensorMapEncodeTiled");
#endif
  a.require(encode(&result.map, config.type, a.rank, a.base, a.sizes, a.strides, config.box.begin(),
                   steps, CU_TENSOR_MAP_INTERLEAVE_NONE, a.swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, a.fill));
  return result.map;
}

/// The same for im2col loads.
inline CUtensorMap make_im2col_map(const Im2colMapConfig& config) {
  const TensorMapArguments a(config, 3);
  const unsigned spatial = a.rank - 2;
  if (config.lower.size() != spatial || config.upper.size() != spatial ||
      config.steps.size() != spatial) {
    a.refuse("of " + std::to_string(a.rank) + " dimensions it wants corners and steps of " +
             std::to_string(spatial));
  }
  const int limit = a.rank == 3 ? 1 << 15 : a.rank == 4 ? 1 << 7 : 1 << 4;
  cuuint32_t steps[5] = {1, 1, 1, 1, 1};
  for (unsigned i = 0; i < spatial; ++i) {
    const int lower = config.lower.begin()[i], upper = config.upper.begin()[i];
    for (const int corner : {lower, upper}) {
      if (corner < -limit || corner >= limit) {
        a.refuse("a corner of " + std::to_string(corner) + "; " + std::to_string(-limit) + " to " +
                 std::to_string(limit - 1));
      }
    }
    if (static_cast<std::int64_t>(a.sizes[i + 1]) + upper - lower < 1) {
      a.refuse("a bounding box from " + std::to_string(lower) + " to " + std::to_string(upper) +
               " of a dimension of " + std::to_string(a.sizes[i + 1]) + ", which is empty");
    }
    steps[i + 1] = config.steps.begin()[i];
    if (steps[i + 1] < 1 || steps[i + 1] > 8) {
      a.refuse("a step of " + std::to_string(steps[i + 1]) + "; 1 to 8");
    }
  }
  if (config.channels < 1 || config.channels > 256 || config.pixels < 1 || config.pixels > 1024) {
    a.refuse("boxes of " + std::to_string(config.pixels) + " pixels of " +
             std::to_string(config.channels) + " channels; 1 to 1024 and 1 to 256");
  }
  a.require_row(config.channels * config.element_bytes, config.swizzle);
  struct {
    CUtensorMap map;
  } result{};
#ifdef MINIDL_EMULATED
  const auto encode = emu::encode_im2col;
#else
  static const auto encode =
      tensor_map_encoder<PFN_cuTensorMapEncodeIm2col_v12000>("cuTensorMapEncodeIm2col");
#endif
  // W first: cuda.h says {D, H, W}, but CUTLASS and Triton pass the corners in this order.
  a.require(encode(&result.map, config.type, a.rank, a.base, a.sizes, a.strides,
                   config.lower.begin(), config.upper.begin(), config.channels, config.pixels,
                   steps, CU_TENSOR_MAP_INTERLEAVE_NONE, a.swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, a.fill));
  return result.map;
}

}  // namespace minidl::kernels::cuda
