// Not part of the public interface: elements from a file that nobody vouches for.
#pragma once

#include <istream>

#include "minidl/core/tensor.h"

namespace minidl {

/// A row-major tensor on the CPU, its elements read from the stream as they lie there. The caller
/// has made sure that the file is long enough. Throws Error where it cannot be read, or where a
/// bool is neither 0 nor 1, which no program may look at.
Tensor read_elements(std::istream& stream, const Shape& shape, DType dtype);

}  // namespace minidl
