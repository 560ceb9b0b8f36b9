#include "tests/ops/materialize.h"

#include <algorithm>
#include <numeric>

namespace minidl::test {
namespace {

DType dtype_of(const Input& input, DType real) {
  switch (input.kind) {
    case Input::Kind::labels: return i64;
    case Input::Kind::mask: return boolean;
    default: return real;
  }
}

}  // namespace

const char* name(OperandLayout layout) {
  switch (layout) {
    case OperandLayout::contiguous: return "contiguous";
    case OperandLayout::transposed: return "transposed";
    case OperandLayout::strided: return "strided";
    case OperandLayout::channels_last: return "channels last";
  }
  return "unknown";
}

std::vector<double> draw_values(const Input& input, int position, Chooser& choose) {
  std::vector<double> values(static_cast<std::size_t>(numel(input.shape)));
  if (input.kind == Input::Kind::mask) {
    for (double& value : values) value = choose.coin() ? 1 : 0;
    return values;
  }
  if (input.kind == Input::Kind::labels) {
    const auto last = static_cast<std::int64_t>(input.high) - 1;
    for (double& value : values) value = static_cast<double>(choose.between(0, last));
    return values;
  }
  // A shuffled grid: evenly spread, nothing equal within an operand or between two.
  std::iota(values.begin(), values.end(), 0.3 + 0.0618034 * position);
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(
        values[i - 1],
        values[static_cast<std::size_t>(choose.between(0, static_cast<std::int64_t>(i) - 1))]);
  }
  const double step = (input.high - input.low) / static_cast<double>(values.size());
  for (double& value : values) value = input.low + value * step;
  return values;
}

Tensor make_operand(const Input& input, const std::vector<double>& values, DType dtype,
                    OperandLayout layout) {
  if (input.kind == Input::Kind::none) return {};
  const TensorOptions options{.dtype = dtype_of(input, dtype)};
  const Shape& shape = input.shape;
  Strides strides = contiguous_strides(shape);
  if (layout == OperandLayout::channels_last && shape.size() == 4) {
    strides = channels_last_strides(shape);
  } else if (layout == OperandLayout::strided) {
    for (std::int64_t& stride : strides) stride *= 2;
  } else if (layout != OperandLayout::contiguous) {
    std::int64_t step = 1;
    for (int i = 0; i < shape.size(); ++i) {
      strides[i] = step;
      step *= std::max<std::int64_t>(shape[i], 1);
    }
  }
  const Tensor operand = empty_strided(shape, strides, options);
  operand.copy_(tensor(values, shape, {.dtype = f64}));
  return operand;
}

}  // namespace minidl::test
