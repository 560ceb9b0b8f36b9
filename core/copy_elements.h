// Elements from anywhere to anywhere. Not part of the public interface.
#pragma once

#include "minidl/kernels/common/device.h"
#include "minidl/kernels/common/view.h"

namespace minidl {

/// to = from, of the same shape, converted as kernels::copy does, whatever devices and strides they
/// have. What goes to a GPU is queued on its current stream; what comes from there to the CPU is
/// there when this returns, which throws Error if the device has failed.
void copy_elements(const kernels::View& from, const Device& from_device, const kernels::View& to,
                   const Device& to_device);

/// Numbers of the host as an operand of the above.
kernels::View row_major_view(void* values, DType dtype, const Shape& shape);

}  // namespace minidl
