#include "tensor_map.h"

#include <cstring>

#include "state.h"

namespace emu {
namespace {

constexpr std::uint64_t kMark = 0x7465'6e73'6f72'6d61U;
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));

unsigned element_bytes(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8: return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ: return 4;
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64: return 8;
    default: return 0;
  }
}

bool is_float(CUtensorMapDataType type) {
  return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && element_bytes(type) != 0;
}

// 0 to 3 as swizzled() takes it; 4 for the modes that came with later GPUs.
unsigned swizzle_mode(CUtensorMapSwizzle swizzle) {
  return swizzle <= CU_TENSOR_MAP_SWIZZLE_128B ? static_cast<unsigned>(swizzle) : 4;
}

struct Common {  // what both kinds of maps take
  CUtensorMapDataType type;
  cuuint32_t rank;
  void* base;
  const cuuint64_t *sizes, *strides;
  const cuuint32_t* element_strides;
  CUtensorMapInterleave interleave;
  CUtensorMapSwizzle swizzle;
  CUtensorMapFloatOOBfill fill;
};

CUresult encode(TensorMap& result, const CUtensorMap* map, const Common& c, unsigned min_rank) {
  const unsigned bytes = element_bytes(c.type), mode = swizzle_mode(c.swizzle);
  if (bytes == 0 || mode > 3 || c.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(c.base);
  result.nan_fill = c.fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  if (map == nullptr || reinterpret_cast<std::uintptr_t>(map) % 64 != 0 || c.base == nullptr ||
      address % 16 != 0 || c.rank < min_rank || c.rank > kMaxRank ||
      (result.nan_fill && !is_float(c.type))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  result.mark = kMark;
  result.base = static_cast<char*>(c.base);
  result.rank = static_cast<std::uint8_t>(c.rank);
  result.element_bytes = static_cast<std::uint8_t>(bytes);
  result.swizzle = static_cast<std::uint8_t>(mode);
  result.type = static_cast<std::uint8_t>(c.type);
  for (unsigned i = 0; i < c.rank; ++i) {
    if (c.sizes[i] == 0 || c.sizes[i] > std::uint64_t{1} << 32 || c.element_strides[i] == 0 ||
        c.element_strides[i] > 8) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    result.stride[i] = i == 0 ? bytes : c.strides[i - 1];
    if (i > 0 && (result.stride[i] % 16 != 0 || result.stride[i] >= std::uint64_t{1} << 40)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    result.last[i] = static_cast<std::uint32_t>(c.sizes[i] - 1);
    // Without interleaving, the innermost dimension has no element stride.
    result.step[i] = static_cast<std::uint8_t>(i == 0 ? 1 : c.element_strides[i]);
  }
  return CUDA_SUCCESS;
}

CUresult store(CUtensorMap* map, const TensorMap& result, unsigned row) {
  const unsigned span = result.swizzle == 0 ? ~0U : 16U << result.swizzle;
  if (row % 16 != 0 || row > span) return CUDA_ERROR_INVALID_VALUE;
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &result, sizeof result);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                      const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                      const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion /*promotion*/,
                      CUtensorMapFloatOOBfill fill) {
  TensorMap result{};
  const CUresult status =
      encode(result, map,
             {type, rank, base, sizes, strides, element_strides, interleave, swizzle, fill}, 1);
  if (status != CUDA_SUCCESS) return status;
  for (unsigned i = 0; i < rank; ++i) {
    if (box[i] == 0 || box[i] > 256) return CUDA_ERROR_INVALID_VALUE;
    const unsigned step = result.step[i];
    result.box[i] = static_cast<std::uint16_t>((box[i] + step - 1) / step);
  }
  return store(map, result, box[0] * result.element_bytes);
}

CUresult encode_im2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                       const cuuint64_t* sizes, const cuuint64_t* strides, const int* lower,
                       const int* upper, cuuint32_t channels, cuuint32_t pixels,
                       const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion /*promotion*/,
                       CUtensorMapFloatOOBfill fill) {
  TensorMap result{};
  const CUresult status =
      encode(result, map,
             {type, rank, base, sizes, strides, element_strides, interleave, swizzle, fill}, 3);
  if (status != CUDA_SUCCESS) return status;
  if (channels == 0 || channels > 256 || pixels == 0 || pixels > 1024) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int limit = rank == 3 ? 1 << 15 : rank == 4 ? 1 << 7 : 1 << 4;
  for (unsigned i = 0; i < rank - 2; ++i) {
    const std::int64_t width = static_cast<std::int64_t>(sizes[i + 1]) + upper[i] - lower[i];
    if (lower[i] < -limit || lower[i] >= limit || upper[i] < -limit || upper[i] >= limit ||
        width < 1) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    result.lower[i] = static_cast<std::int16_t>(lower[i]);
    result.upper[i] = static_cast<std::int16_t>(upper[i]);
  }
  result.im2col = true;
  for (std::uint16_t& extent : result.box) extent = 1;
  result.box[0] = static_cast<std::uint16_t>(channels);
  result.box[1] = static_cast<std::uint16_t>(pixels);
  return store(map, result, channels * result.element_bytes);
}

TensorMap tensor_map_at(const void* map, unsigned rank, bool im2col) {
  if (reinterpret_cast<std::uintptr_t>(map) % 64 != 0) {
    fail("TMA: the tensor map at %p is not a multiple of 64", map);
  }
  TensorMap result;
  std::memcpy(&result, map, sizeof result);
  if (result.mark != kMark) {
    fail("TMA: no tensor map at %p; pass it as a const __grid_constant__ parameter", map);
  }
  if (result.rank != rank) {
    fail("TMA: a tensor map of rank %u in an instruction of rank %u", result.rank, rank);
  }
  if (result.im2col != im2col) {
    fail("TMA: %s in %s instruction", result.im2col ? "an im2col map" : "a tiled map",
         im2col ? "an im2col" : "a tiled");
  }
  return result;
}

std::uint32_t box_bytes(const TensorMap& map) {
  std::uint32_t bytes = map.element_bytes;
  for (unsigned i = 0; i < map.rank; ++i) bytes *= map.box[i];
  return bytes;
}

}  // namespace emu
