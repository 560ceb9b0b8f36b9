// What cp.reduce.async.bulk.tensor does with an element of global memory and one of shared memory.
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bulk.h"

namespace emu {
namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
  // Signed sums wrap.
  std::int32_t operator()(std::int32_t a, std::int32_t b) const {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
  }
};

// Of a number and a NaN the number; the hardware's -0 is less than its +0.
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
  float operator()(float a, float b) const {
    return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
  float operator()(float a, float b) const {
    return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b);
  }
};

// T: what an element is stored as, Value: what it is combined as.
template <class T, class Value = T, class Operation>
void apply(Operation operation, char* to, const char* from) {
  T a, b;
  std::memcpy(&a, to, sizeof a);
  std::memcpy(&b, from, sizeof b);
  a = static_cast<T>(operation(static_cast<Value>(a), static_cast<Value>(b)));
  std::memcpy(to, &a, sizeof a);
}

template <class Operation>
void apply(std::uint8_t type, Operation operation, char* to, const char* from) {
  switch (static_cast<CUtensorMapDataType>(type)) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT32: return apply<std::uint32_t>(operation, to, from);
    case CU_TENSOR_MAP_DATA_TYPE_INT32: return apply<std::int32_t>(operation, to, from);
    case CU_TENSOR_MAP_DATA_TYPE_UINT64: return apply<std::uint64_t>(operation, to, from);
    case CU_TENSOR_MAP_DATA_TYPE_INT64: return apply<std::int64_t>(operation, to, from);
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16: return apply<__half, float>(operation, to, from);
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return apply<__nv_bfloat16, float>(operation, to, from);
    default: return apply<float>(operation, to, from);
  }
}

}  // namespace

void require_reducible(std::uint8_t type, Reduction operation) {
  const bool add = operation == Reduction::kAdd;
  switch (static_cast<CUtensorMapDataType>(type)) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return;
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
      if (!add) return;
      break;
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ:
      if (add) return;
      break;
    default: break;
  }
  fail(
      "TMA reduction: no %s of this element type; add has u32, s32, u64, f32, f16 and bf16, min "
      "and "
      "max have u32, s32, u64, s64, f16 and bf16",
      add ? "add" : "min or max");
}

void reduce_element(std::uint8_t type, Reduction operation, char* to, const char* from) {
  switch (operation) {
    case Reduction::kAdd: return apply(type, Add{}, to, from);
    case Reduction::kMin: return apply(type, Min{}, to, from);
    case Reduction::kMax: return apply(type, Max{}, to, from);
  }
}

}  // namespace emu
