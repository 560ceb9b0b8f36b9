// What batch normalisation refuses on every device. Not part of the public interface.
#pragma once

#include <initializer_list>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// [N, C, …] operands, all of one shape and dtype.
inline void check_images(const char* op, std::initializer_list<const View*> operands) {
  const View& first = **operands.begin();
  check(first.ndim() >= 2, "{}: images must be [N, C, …], got {}", op, first.shape);
  for (const View* view : operands) {
    check(view->shape == first.shape && view->dtype == first.dtype,
          "{}: operands must be of one shape and dtype, got {} of {} and {} of {}", op, first.dtype,
          first.shape, view->dtype, view->shape);
  }
}

inline void check_per_channel(const char* op, const View& x,
                              std::initializer_list<const View*> vectors) {
  for (const View* view : vectors) {
    check(!view->defined || (view->shape == Shape{x.size(1)} && view->dtype == x.dtype),
          "{}: per-channel operands must be {} of shape [{}], got {} of {}", op, x.dtype, x.size(1),
          view->dtype, view->shape);
  }
}

}  // namespace minidl::kernels
