// A short way to a vector that wants a gradient.
#pragma once

#include <cstdint>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::test {

/// An f64 vector of these values, as a leaf that requires a gradient.
inline Tensor leaf(const std::vector<double>& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())},
                {.dtype = f64, .requires_grad = true});
}

}  // namespace minidl::test
