// Tensors to and from other libraries in the same process, without a copy: DLPack.
// https://dmlc.github.io/dlpack/latest
#pragma once

#include "minidl/core/tensor.h"

struct DLManagedTensor;  // <dlpack/dlpack.h>, or core/interop/dlpack_abi.h

namespace minidl {

/// The same elements for another library, which must call the result's deleter once; until then
/// they stay alive. Changes on either side show on the other, and autograd does not see them. On a
/// GPU, work on the tensor may still be queued on the current stream: the other library must wait
/// for it, or you synchronize before. Throws Error on a tensor that requires a gradient (detach()
/// it), on a fake one, and on one whose storage is released.
DLManagedTensor* to_dlpack(const Tensor& tensor);

/// Another library's elements as a tensor. Takes `managed` over: its deleter runs exactly once,
/// when the last tensor on that memory goes, or before this throws. Takes memory of the CPU, pinned
/// memory (as the CPU's) and CUDA's, managed memory too; the dtypes of minidl; any strides but
/// negative ones, which throw Error, as does whatever the structure cannot mean. On a GPU, the
/// elements must be ready for the current stream.
Tensor from_dlpack(DLManagedTensor* managed);

}  // namespace minidl
