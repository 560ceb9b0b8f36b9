#include "minidl/core/serialization/read_elements.h"

#include <algorithm>

#include "minidl/kernels/common/check.h"

namespace minidl {

Tensor read_elements(std::istream& stream, const Shape& shape, DType dtype) {
  const Tensor tensor = empty(shape, {.dtype = dtype, .device = cpu});
  const std::int64_t bytes = tensor.numel() * static_cast<std::int64_t>(size_of(dtype));
  auto* data = static_cast<unsigned char*>(tensor.raw_data());
  stream.read(reinterpret_cast<char*>(data), bytes);
  check(stream.good(), "could not be read to its end");
  if (dtype == boolean) {
    const auto* wrong = std::find_if(data, data + bytes, [](unsigned char b) { return b > 1; });
    check(wrong == data + bytes, "element {} is bool, but neither 0 nor 1", wrong - data);
  }
  return tensor;
}

}  // namespace minidl
