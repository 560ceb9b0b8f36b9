// NumPy's file format for one array: a magic string, a version, a header that is a Python
// dictionary, the elements. numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>

#include "minidl/core/tensor.h"

namespace minidl {

/// Writes a tensor (from any device, in logical row-major order) as version 1.0, which every reader
/// knows. Atomic: `path` is the old file or the whole new one. Throws Error on bf16, which NumPy
/// does not have, on a fake tensor and on I/O errors.
void save_npy(const std::string& path, const Tensor& tensor);

/// Reads a file of version 1.0, 2.0 or 3.0 onto the CPU. An array in Fortran order becomes a tensor
/// whose first dimension is the dense one. Little-endian f16, f32, f64, i8, u8, i32, i64 and bool;
/// throws Error naming the file on any other dtype (by its name), on more than 8 dimensions, on a
/// header of more than 10 000 bytes (NumPy's own limit), and on whatever else breaks the format:
/// bytes after the array, too. Nothing in the file is executed, and no more memory is taken than
/// the file has bytes.
Tensor load_npy(const std::string& path);

}  // namespace minidl
