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

// 0 to 3 as swizzled() takes it; 4 for the modes that came with later GPUs.
unsigned swizzle_mode(CUtensorMapSwizzle swizzle) {
  return swizzle <= CU_TENSOR_MAP_SWIZZLE_128B ? static_cast<unsigned>(swizzle) : 4;
}

}  // namespace

CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                      const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                      const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion /*promotion*/,
                      CUtensorMapFloatOOBfill fill) {
  const unsigned bytes = element_bytes(type), mode = swizzle_mode(swizzle);
  if (bytes == 0 || mode > 3 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
      fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (map == nullptr || reinterpret_cast<std::uintptr_t>(map) % 64 != 0 || base == nullptr ||
      address % 16 != 0 || rank == 0 || rank > kMaxRank) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  TensorMap result{};
  result.mark = kMark;
  result.base = static_cast<char*>(base);
  result.rank = static_cast<std::uint8_t>(rank);
  result.element_bytes = static_cast<std::uint8_t>(bytes);
  result.swizzle = static_cast<std::uint8_t>(mode);
  for (unsigned i = 0; i < rank; ++i) {
    if (sizes[i] == 0 || sizes[i] > std::uint64_t{1} << 32 || box[i] == 0 || box[i] > 256 ||
        element_strides[i] == 0 || element_strides[i] > 8) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    result.stride[i] = i == 0 ? bytes : strides[i - 1];
    if (i > 0 && (result.stride[i] % 16 != 0 || result.stride[i] >= std::uint64_t{1} << 40)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Without interleaving, the innermost dimension has no element stride.
    const unsigned step = i == 0 ? 1 : element_strides[i];
    result.last[i] = static_cast<std::uint32_t>(sizes[i] - 1);
    result.box[i] = static_cast<std::uint16_t>((box[i] + step - 1) / step);
    result.step[i] = static_cast<std::uint8_t>(step);
  }
  const unsigned row = box[0] * bytes, span = mode == 0 ? ~0U : 16U << mode;
  if (row % 16 != 0 || row > span) return CUDA_ERROR_INVALID_VALUE;
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &result, sizeof result);
  return CUDA_SUCCESS;
}

TensorMap tensor_map_at(const void* map, unsigned rank) {
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
  return result;
}

std::uint32_t box_bytes(const TensorMap& map) {
  std::uint32_t bytes = map.element_bytes;
  for (unsigned i = 0; i < map.rank; ++i) bytes *= map.box[i];
  return bytes;
}

}  // namespace emu
