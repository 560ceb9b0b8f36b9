// Moving and converting elements.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

/// dst = src, converted to dst's dtype; any strides on both sides, src may be stretched (stride 0)
/// or read backwards (stride below 0).
/// Floating point to integer truncates towards zero, takes the nearest integer of the type where
/// the value lies outside its range, and turns NaN into 0; integers to narrower ones wrap around;
/// anything to bool is `!= 0`.
using Copy = void(ExecContext&, const View& src, const View& dst);

/// Every element of dst = value, converted as in Copy.
using Fill = void(ExecContext&, const View& dst, double value);

/// dst[i] = start + i * step for a 1-D dst of any dtype but bool and the 16-bit ones.
using Arange = void(ExecContext&, const View& dst, double start, double step);

namespace cpu {
Copy copy;
Fill fill;
Arange arange;
}  // namespace cpu

namespace cuda {
Copy copy;
Fill fill;
Arange arange;
}  // namespace cuda

inline constexpr Entry<Copy> copy{cpu::copy, cuda::copy};
inline constexpr Entry<Fill> fill{cpu::fill, cuda::fill};
inline constexpr Entry<Arange> arange{cpu::arange, cuda::arange};

}  // namespace minidl::kernels
