// Elements that only move. Not part of the public interface.
#pragma once

#include <bit>
#include <cstdint>

#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// Where elements only move, their size is all that matters: calls f(T{}) with the one type that
/// stands for all of that size.
template <class F>
void visit_size(DType dtype, const F& f) {
  switch (size_of(dtype)) {
    case 1: return f(std::uint8_t{});
    case 2: return f(Half{});
    case 4: return f(std::int32_t{});
    default: return f(std::int64_t{});
  }
}

/// The same memory with elements of type T.
template <class T>
View as(View view) {
  view.dtype = dtype_of_v<T>;
  return view;
}

/// The bits that stand for `value` in a tensor of `dtype`, as an element of type T of its size.
template <class T>
T bits_of(DType dtype, double value) {
  T bits{};
  visit_dtype(dtype, [&](auto zero) {
    using Element = decltype(zero);
    if constexpr (sizeof(Element) == sizeof(T)) bits = std::bit_cast<T>(convert<Element>(value));
  });
  return bits;
}

}  // namespace minidl::kernels
