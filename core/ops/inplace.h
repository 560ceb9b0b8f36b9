// What every change of elements in place begins with. Not part of the public interface.
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

/// Throws Error where `op` must not write to `target`: autograd would not see it, elements share
/// their memory, `source` (which may be undefined) does not stretch to what is `written`: the
/// shape of `target`, unless told otherwise. Otherwise counts the change. Returns whether there are
/// elements to change: a fake tensor has none.
bool begin_change(const char* op, const Tensor& target, const Tensor& source = {},
                  const std::optional<Shape>& written = {});

/// Throws Error unless the two are on one device.
void require_same_device(const char* op, const Tensor& target, const Tensor& other);

/// What to read from: a copy if writing to `target` would change it on the way.
Tensor unaliased(const Tensor& source, const Tensor& target);

}  // namespace minidl
