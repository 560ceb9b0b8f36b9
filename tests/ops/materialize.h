// Turning the operands of a table row into tensors, in every layout an operation may meet.
#pragma once

#include "tests/ops/op_table.h"

namespace minidl::test {

/// How the elements of an operand lie in memory.
enum class OperandLayout { contiguous, transposed, strided, channels_last };
inline constexpr OperandLayout kOperandLayouts[] = {
    OperandLayout::contiguous, OperandLayout::transposed, OperandLayout::strided,
    OperandLayout::channels_last};
const char* name(OperandLayout layout);

/// The numbers for operand `position` of a sample: fresh ones for each chooser state.
std::vector<double> draw_values(const Input& input, int position, Chooser& choose);

/// A leaf tensor that holds `values` in `layout` (channels_last falls back to transposed where the
/// shape has other than 4 dimensions). Real operands get `dtype`; undefined for Kind::none.
Tensor make_operand(const Input& input, const std::vector<double>& values, DType dtype,
                    OperandLayout layout);

}  // namespace minidl::test
