// Many tensors in one block of memory, so that one message carries them.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl::dist {

/// A one-dimensional block and views into it.
struct FlatTensors {
  Tensor block;
  Tensors views;
};

/// An uninitialised block for tensors that look like `tensors` (one dtype and device; each view has
/// the shape and, where it is dense, the layout of its model), one after the other. The block has
/// `extra` more elements at its end.
FlatTensors make_flat(const Tensors& tensors, std::int64_t extra = 0);

}  // namespace minidl::dist
