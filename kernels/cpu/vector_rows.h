// Loops over a row of numbers, for the vector registers that this machine has.
#pragma once

#include <cstdint>

namespace minidl::kernels::cpu {

/// The largest number, NaN aside; -infinity of none.
float largest_of(const float* row, std::int64_t count);
double largest_of(const double* row, std::int64_t count);

/// Turns every x into e^(x - base), for a base that is the largest x or almost; returns their sum.
/// In f32 within 2 units in the last place, and 0 where that is below the normal numbers. NaN stays
/// NaN.
float exponentials(float* row, std::int64_t count, float base);
double exponentials(double* row, std::int64_t count, double base);

/// Overwrites the numbers beside a flag of false with -infinity.
void keep_where(const bool* flags, float* row, std::int64_t count);
void keep_where(const bool* flags, double* row, std::int64_t count);

}  // namespace minidl::kernels::cpu
