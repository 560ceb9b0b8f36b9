#include "minidl/core/interop/dlpack.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <utility>

#include "minidl/core/interop/dlpack_abi.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

struct DTypeEntry {
  DType dtype;
  DLDataTypeCode code;
  int bits;
};
constexpr std::array<DTypeEntry, 9> kDtypes{{{f32, kDLFloat, 32},
                                             {f16, kDLFloat, 16},
                                             {bf16, kDLBfloat, 16},
                                             {f64, kDLFloat, 64},
                                             {i8, kDLInt, 8},
                                             {u8, kDLUInt, 8},
                                             {i32, kDLInt, 32},
                                             {i64, kDLInt, 64},
                                             {boolean, kDLBool, 8}}};

constexpr std::int64_t kMostElements = std::numeric_limits<std::int64_t>::max() / 16;

DLDataType to_foreign(DType dtype) {
  const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                   [&](const DTypeEntry& entry) { return entry.dtype == dtype; });
  return {.code = static_cast<std::uint8_t>(found->code),
          .bits = static_cast<std::uint8_t>(found->bits),
          .lanes = 1};
}

DType dtype_of_foreign(const DLDataType& type) {
  for (const DTypeEntry& entry : kDtypes) {
    if (type.code == entry.code && type.bits == entry.bits && type.lanes == 1) return entry.dtype;
  }
  constexpr std::array kNames{"int", "uint", "float", "opaque handle", "bfloat", "complex", "bool"};
  fail("from_dlpack: elements of type {}{} (code {}, {} lanes) are not supported",
       type.code < kNames.size() ? kNames[type.code] : "unknown", type.bits, type.code, type.lanes);
}

Device device_of_foreign(const DLDevice& device) {
  switch (device.device_type) {
    case kDLCPU:
    case kDLCUDAHost: return cpu;
    case kDLCUDA:
    case kDLCUDAManaged: return {DeviceType::cuda, device.device_id};
    default:
      fail(
          "from_dlpack: the elements are on a device of type {}; only the CPU's (1, 3) and CUDA's "
          "(2, 13) can be used",
          static_cast<int>(device.device_type));
  }
}

Shape shape_of(const DLTensor& tensor) {
  check(tensor.ndim >= 0 && tensor.ndim <= kMaxDims,
        "from_dlpack: the tensor has {} dimensions; at most {} are supported", tensor.ndim,
        kMaxDims);
  check(tensor.ndim == 0 || tensor.shape != nullptr, "from_dlpack: the tensor has no shape");
  Shape shape;
  std::int64_t elements = kMostElements;
  for (int dim = 0; dim < tensor.ndim; ++dim) {
    check(tensor.shape[dim] >= 0, "from_dlpack: extent {} is {}", dim, tensor.shape[dim]);
    shape.push_back(tensor.shape[dim]);
    elements /= std::max<std::int64_t>(tensor.shape[dim], 1);
  }
  check(elements > 0, "from_dlpack: the shape {} is too large for any memory", shape);
  return shape;
}

// Strides along which nobody walks may be anything in DLPack.
Strides strides_of(const DLTensor& tensor, const Shape& shape) {
  Strides strides = contiguous_strides(shape);
  const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (tensor.strides == nullptr || is_empty) return strides;
  std::int64_t last = 0;
  for (int dim = 0; dim < shape.size(); ++dim) {
    if (shape[dim] == 1) continue;
    strides[dim] = tensor.strides[dim];
    check(strides[dim] >= 0,
          "from_dlpack: dimension {} has the stride {}; negative ones are not supported: copy the "
          "tensor first",
          dim, strides[dim]);
    std::int64_t reach = 0;
    check(!__builtin_mul_overflow(shape[dim] - 1, strides[dim], &reach) &&
              !__builtin_add_overflow(last, reach, &last) && last < kMostElements,
          "from_dlpack: the shape {} with these strides is too large for any memory", shape);
  }
  return strides;
}

void* data_of(const DLTensor& tensor, DType dtype, const Shape& shape) {
  if (numel(shape) == 0) return nullptr;
  check(tensor.data != nullptr, "from_dlpack: the tensor of shape {} has no data", shape);
  char* data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  check(reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) == 0,
        "from_dlpack: the {} elements are not aligned to their size: copy the tensor first", dtype);
  return data;
}

void free_foreign(DLManagedTensor* managed) {
  if (managed->deleter != nullptr) managed->deleter(managed);
}

// What a DLManagedTensor of ours points to.
struct Export {
  Tensor tensor;
  Shape shape;
  Strides strides;
  DLManagedTensor managed{};
};

void free_export(DLManagedTensor* managed) {
  delete static_cast<Export*>(managed->manager_ctx);
}

}  // namespace

DLManagedTensor* to_dlpack(const Tensor& tensor) {
  if (tensor.is_fake()) fail("to_dlpack: {} has no elements", describe(tensor));
  check(!tensor.requires_grad(),
        "to_dlpack: autograd would not see what becomes of a tensor that requires a gradient; "
        "detach() it first");
  auto owner = std::make_unique<Export>(
      Export{.tensor = tensor, .shape = tensor.shape(), .strides = tensor.strides()});
  DLManagedTensor& managed = owner->managed;
  managed.dl_tensor = {
      .data = tensor.raw_data(),
      .device = {.device_type = tensor.device().is_cpu() ? kDLCPU : kDLCUDA,
                 .device_id = tensor.device().index},
      .ndim = tensor.dim(),
      .dtype = to_foreign(tensor.dtype()),
      .shape = owner->shape.begin(),
      .strides = owner->strides.begin(),
      .byte_offset = 0,
  };
  managed.manager_ctx = owner.get();
  managed.deleter = free_export;
  return &owner.release()->managed;
}

Tensor from_dlpack(DLManagedTensor* managed) {
  check(managed != nullptr, "from_dlpack: the pointer is null");
  const std::shared_ptr<DLManagedTensor> owner(managed, free_foreign);
  const DLTensor& tensor = managed->dl_tensor;
  const Device device = device_of_foreign(tensor.device);
  require_available(device);
  const DType dtype = dtype_of_foreign(tensor.dtype);
  const Shape shape = shape_of(tensor);
  const Strides strides = strides_of(tensor, shape);
  return from_blob(data_of(tensor, dtype, shape), shape, {.dtype = dtype, .device = device},
                   strides, [owner](void*) {});
}

}  // namespace minidl
