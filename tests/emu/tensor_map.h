// Tensor maps as the emulator keeps them in the 128 bytes of a CUtensorMap.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace emu {

/// The driver's cuTensorMapEncodeTiled: same arguments, limits and results. No interleaved layouts
/// (CUDA_ERROR_NOT_SUPPORTED).
CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                      const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                      const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                      CUtensorMapFloatOOBfill fill);

/// cuTensorMapEncodeIm2col, likewise. cuda.h says that the corners come as {D, H, W}; W is the
/// first here, as CUTLASS and Triton pass it.
CUresult encode_im2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                       const cuuint64_t* sizes, const cuuint64_t* strides, const int* lower,
                       const int* upper, cuuint32_t channels, cuuint32_t pixels,
                       const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                       CUtensorMapFloatOOBfill fill);

constexpr unsigned kMaxRank = 5;

struct TensorMap {
  std::uint64_t mark;
  char* base;
  std::uint64_t stride[kMaxRank];  // bytes
  std::uint32_t last[kMaxRank];    // size - 1
  std::uint16_t box[kMaxRank];     // elements that are moved; im2col: channels, pixels, 1, 1, 1
  std::uint8_t step[kMaxRank];     // and every how manieth of the tensor
  std::int16_t lower[kMaxRank - 2], upper[kMaxRank - 2];  // im2col: corners, W first
  std::uint8_t rank, element_bytes, swizzle, type;
  bool im2col, nan_fill;
};

/// The map behind a kernel's parameter, which must be of that kind; anything else is an error.
TensorMap tensor_map_at(const void* map, unsigned rank, bool im2col);

std::uint32_t box_bytes(const TensorMap& map);

/// Swizzle `mode` (0 none, 1 32 B, 2 64 B, 3 128 B) of a shared address: bits 4 to 4 + mode are
/// XORed with bits 7 to 7 + mode.
inline std::uint32_t swizzled(std::uint32_t address, unsigned mode) {
  return address ^ (address >> 7 & ((1U << mode) - 1)) << 4;
}

}  // namespace emu
