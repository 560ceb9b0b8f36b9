// Where tensors are made when nobody says.
#pragma once

#include "minidl/kernels/common/device.h"

namespace minidl {

/// What TensorOptions::device is when it is left out: the CPU, until set_default_device.
Device default_device();

/// Changes it, for the whole process. From now on factories, and modules as they are constructed,
/// make their tensors on `device`; tensors that exist stay where they are. What belongs to the host
/// does not follow: datasets and loaders, files and from_blob give CPU tensors all the same.
/// Throws Error, saying why, if `device` cannot be used.
void set_default_device(const Device& device);

}  // namespace minidl
