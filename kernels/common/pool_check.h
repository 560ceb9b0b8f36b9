// What the kernels of every device check about a pooling. Not part of the public interface.
#pragma once

#include <cstdint>

#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

// Each throws Error, naming `op`, unless ...

/// ... x and y are images of equal batch, channels and dtype.
void check_pool_shapes(const char* op, const View& x, const View& y);
/// ... the indices of x's pixels fit into `indices`, which is of y's shape.
void check_pool_indices(const char* op, const View& x, const View& y, const View& indices);
/// ... the window of output `o` holds some of the `in` pixels along its dimension.
void check_pool_window(const char* op, std::int64_t o, std::int64_t in, std::int64_t begin,
                       std::int64_t end);

}  // namespace minidl::kernels
