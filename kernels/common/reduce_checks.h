// What reductions refuse on every device. Not part of the public interface.
#pragma once

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// For `op` max or min of x.
inline void check_has_extremes(const char* op, const View& x, const View& out) {
  check(x.numel() > 0 || out.numel() == 0,
        "{}: a tensor of shape {} has no largest or smallest element", op, x.shape);
}

inline void check_argmax(const View& x, int dim, const View& out, const char* op = "argmax") {
  check(x.size(dim) > 0 || out.numel() == 0, "{}: dimension {} of shape {} is empty", op, dim,
        x.shape);
}

}  // namespace minidl::kernels
