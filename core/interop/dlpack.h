// Tensors to and from other libraries in the same process, without a copy: DLPack.
// https://dmlc.github.io/dlpack/latest
#pragma once

#include "minidl/core/tensor.h"

struct DLManagedTensor;  // <dlpack/dlpack.h>, or core/interop/dlpack_abi.h
struct DLManagedTensorVersioned;

namespace minidl {

/// The same elements for another library, which must call the result's deleter once; until then
/// they stay alive. Changes on either side show on the other, and autograd does not see them. On a
/// GPU, work on the tensor may still be queued on the current stream: the other library must wait
/// for it, or you synchronize before. Throws Error on a tensor that requires a gradient (detach()
/// it), on a fake one, and on one whose storage is released.
DLManagedTensor* to_dlpack(const Tensor& tensor);

struct DLPackOptions {
  bool copy = false;       ///< elements of the other library's own, flagged as copied
  bool read_only = false;  ///< the other library is asked not to change them
};

/// The same in the form that version 1.0 of DLPack introduced, which Python's newer capsules
/// ("dltensor_versioned") hold.
DLManagedTensorVersioned* to_dlpack_versioned(const Tensor& tensor,
                                              const DLPackOptions& options = {});

/// Another library's elements as a tensor. Takes `managed` over: its deleter runs exactly once,
/// when the last tensor on that memory goes, or before this throws. Takes memory of the CPU, pinned
/// memory (as the CPU's) and CUDA's, managed memory too; the dtypes of minidl; any strides but
/// negative ones, which throw Error, as does whatever the structure cannot mean. On a GPU, the
/// elements must be ready for the current stream.
Tensor from_dlpack(DLManagedTensor* managed);

/// The same from version 1.0 on. Elements that are flagged as read-only are copied, for nothing
/// keeps a tensor from being changed; the deleter has run then. Throws Error on another major
/// version.
Tensor from_dlpack(DLManagedTensorVersioned* managed);

}  // namespace minidl
