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

// Either form of a tensor with its owner.
template <class Managed>
std::shared_ptr<Managed> take_over(Managed* managed) {
  check(managed != nullptr, "from_dlpack: the pointer is null");
  return {managed, [](Managed* taken) {
            if (taken->deleter != nullptr) taken->deleter(taken);
          }};
}

Tensor tensor_of(const DLTensor& tensor, const std::shared_ptr<void>& owner) {
  const Device device = device_of_foreign(tensor.device);
  require_available(device);
  const DType dtype = dtype_of_foreign(tensor.dtype);
  const Shape shape = shape_of(tensor);
  const Strides strides = strides_of(tensor, shape);
  return from_blob(data_of(tensor, dtype, shape), shape, {.dtype = dtype, .device = device},
                   strides, [owner](void*) {});
}

// What a Managed of ours points to.
template <class Managed>
struct Export {
  Tensor tensor;
  Shape shape;
  Strides strides;
  Managed managed{};
};

template <class Managed>
Managed* give(const char* name, const Tensor& tensor) {
  if (tensor.is_fake()) fail("{}: {} has no elements", name, describe(tensor));
  check(!tensor.requires_grad(),
        "{}: autograd would not see what becomes of a tensor that requires a gradient; detach() it "
        "first",
        name);
  auto owner = std::make_unique<Export<Managed>>(
      Export<Managed>{.tensor = tensor, .shape = tensor.shape(), .strides = tensor.strides()});
  Managed& managed = owner->managed;
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
  managed.deleter = [](Managed* self) { delete static_cast<Export<Managed>*>(self->manager_ctx); };
  return &owner.release()->managed;
}

}  // namespace

DLManagedTensor* to_dlpack(const Tensor& tensor) {
  return give<DLManagedTensor>("to_dlpack", tensor);
}

DLManagedTensorVersioned* to_dlpack_versioned(const Tensor& tensor, const DLPackOptions& options) {
  const bool copies = options.copy && !tensor.is_fake() && !tensor.requires_grad();
  auto* managed =
      give<DLManagedTensorVersioned>("to_dlpack_versioned", copies ? tensor.clone() : tensor);
  managed->version = {.major = DLPACK_MAJOR_VERSION, .minor = DLPACK_MINOR_VERSION};
  if (options.copy) managed->flags |= DLPACK_FLAG_BITMASK_IS_COPIED;
  if (options.read_only) managed->flags |= DLPACK_FLAG_BITMASK_READ_ONLY;
  return managed;
}

Tensor from_dlpack(DLManagedTensor* managed) {
  const std::shared_ptr<DLManagedTensor> owner = take_over(managed);
  return tensor_of(managed->dl_tensor, owner);
}

Tensor from_dlpack(DLManagedTensorVersioned* managed) {
  const std::shared_ptr<DLManagedTensorVersioned> owner = take_over(managed);
  check(managed->version.major == DLPACK_MAJOR_VERSION,
        "from_dlpack: the structure is that of DLPack {}.{}; {} can be read",
        managed->version.major, managed->version.minor, DLPACK_MAJOR_VERSION);
  const Tensor tensor = tensor_of(managed->dl_tensor, owner);
  if ((managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) == 0) return tensor;
  const Tensor copy = tensor.clone();
  current_stream(copy.device()).synchronize();  // before the deleter runs
  return copy;
}

}  // namespace minidl
