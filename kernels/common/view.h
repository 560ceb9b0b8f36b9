// What a kernel sees of a tensor.
#pragma once

#include <type_traits>

#include "minidl/kernels/common/dtype.h"
#include "minidl/kernels/common/shape.h"

namespace minidl::kernels {

/// A pointer with its geometry, valid for one call: storage may be released and gathered again
/// between calls. A default View stands for an optional operand that was not given.
struct View {
  void* data = nullptr;
  DType dtype = f32;
  Shape shape;
  Strides strides;
  bool defined = false;

  /// The first element; throws Error unless T is the element type. char is for counting bytes.
  template <class T>
  T* ptr() const {
    if constexpr (!std::is_same_v<T, char>) {
      if (dtype_of_v<T> != dtype) minidl::detail::wrong_dtype(dtype_of_v<T>, dtype);
    }
    return static_cast<T*>(data);
  }
  std::int64_t numel() const { return minidl::numel(shape); }
  int ndim() const { return shape.size(); }
  std::int64_t size(int dim) const { return shape[dim]; }
  /// The same elements walked as a tensor of `target`, to which the shape must broadcast.
  View broadcast_to(const Shape& target) const {
    View view = *this;
    view.strides = broadcast_strides(shape, strides, target);
    view.shape = target;
    return view;
  }
  bool is_contiguous() const { return minidl::is_contiguous(shape, strides); }
};

}  // namespace minidl::kernels
