// The C structures of DLPack, for who does not have <dlpack/dlpack.h> at hand: the layout that
// versions 0.8 and 1.0 of its specification fixed
// (https://dmlc.github.io/dlpack/latest/c_api.html). Either header may come first: they share an
// include guard. Not part of the public interface that <minidl/minidl.h> collects.
#pragma once

#ifndef DLPACK_DLPACK_H_
#define DLPACK_DLPACK_H_

#include <cstdint>

#define DLPACK_MAJOR_VERSION 1
#define DLPACK_MINOR_VERSION 0

#define DLPACK_FLAG_BITMASK_READ_ONLY (1UL << 0UL)
#define DLPACK_FLAG_BITMASK_IS_COPIED (1UL << 1UL)

extern "C" {

enum DLDeviceType : std::int32_t {
  kDLCPU = 1,
  kDLCUDA = 2,
  kDLCUDAHost = 3,  ///< pinned memory of the host
  kDLOpenCL = 4,
  kDLVulkan = 7,
  kDLMetal = 8,
  kDLVPI = 9,
  kDLROCM = 10,
  kDLROCMHost = 11,
  kDLExtDev = 12,
  kDLCUDAManaged = 13,
  kDLOneAPI = 14,
  kDLWebGPU = 15,
  kDLHexagon = 16,
};

struct DLDevice {
  DLDeviceType device_type;
  std::int32_t device_id;
};

enum DLDataTypeCode {
  kDLInt = 0U,
  kDLUInt = 1U,
  kDLFloat = 2U,
  kDLOpaqueHandle = 3U,
  kDLBfloat = 4U,
  kDLComplex = 5U,
  kDLBool = 6U,
};

struct DLDataType {
  std::uint8_t code;  ///< a DLDataTypeCode
  std::uint8_t bits;
  std::uint16_t lanes;  ///< 1 but for vector types
};

/// A view: who owns the memory and the two arrays is not said here.
struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;      ///< in elements; null stands for row-major
  std::uint64_t byte_offset;  ///< of the first element from `data`
};

/// A view with its owner. The consumer calls `deleter`, unless it is null, once, when it is done.
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};

struct DLPackVersion {
  std::uint32_t
      major;  ///< where it differs, all that may be touched is the version and the deleter
  std::uint32_t minor;
};

/// The same since version 1.0: Python's capsules call it "dltensor_versioned".
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned* self);
  std::uint64_t flags;  ///< DLPACK_FLAG_BITMASK_…
  DLTensor dl_tensor;
};

}  // extern "C"

#endif  // DLPACK_DLPACK_H_
