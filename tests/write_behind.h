// Bytes that arrive from elsewhere.
#pragma once

#include <vector>

#include "minidl/core/tensor.h"
#include "minidl/kernels/common/transfer.h"

namespace minidl::test {

/// Puts `values` where a contiguous tensor has its elements, behind the back of every operation: no
/// version counts it.
template <class T>
void write_behind(const Tensor& tensor, const std::vector<T>& values) {
  kernels::transfer(tensor.data<T>(), tensor.device(), values.data(), cpu,
                    values.size() * sizeof(T), current_stream(tensor.device()));
}

}  // namespace minidl::test
