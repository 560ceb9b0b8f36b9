// How numbers beside tensors meet dtypes. Not part of the public interface.
#pragma once

#include <cmath>

#include "minidl/core/tensor.h"

namespace minidl {

/// Whether integers can stay integers beside this number.
inline bool is_whole(double value) {
  return std::isfinite(value) && value == std::trunc(value);
}

/// x, in f32 where it is one of integers and a number beside it is not whole.
template <class... Numbers>
Tensor to_hold(const Tensor& x, Numbers... numbers) {
  return x.is_floating_point() || (is_whole(numbers) && ...) ? x : x.to(f32);
}

}  // namespace minidl
