#include "minidl/core/factories.h"

#include <cmath>

#include "minidl/core/copy_elements.h"
#include "minidl/core/op.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/philox.h"
#include "minidl/kernels/copy.h"

namespace minidl {
namespace {

TensorOptions with_dtype(const TensorOptions& options, DType dtype) {
  return {.dtype = dtype, .device = options.device};
}

Tensor wanting_gradient(const Tensor& tensor, bool requires_grad) {
  return requires_grad ? tensor.set_requires_grad() : tensor;
}

// start + i * step; what the kernel cannot count in is converted.
Tensor evenly_spaced(double start, double step, std::int64_t count, const TensorOptions& options) {
  const DType dtype = options.dtype;
  const bool counts = size_of(dtype) != 2 && dtype != boolean;
  const Tensor result = empty({count}, with_dtype(options, counts ? dtype : f32));
  ExecContext ctx = context_for(result);
  kernels::arange(ctx, result.view(), start, step);
  return result.to(dtype);
}

}  // namespace

NestedNumbers::NestedNumbers(std::initializer_list<NestedNumbers> parts) : dtype_(f32) {
  if (parts.size() > 0) {
    shape_ = parts.begin()->shape_;
    dtype_ = parts.begin()->dtype_;
  }
  for (const NestedNumbers& part : parts) {
    check(part.shape_ == shape_, "tensor: parts of shapes {} and {} stand side by side", shape_,
          part.shape_);
    dtype_ = promote(dtype_, part.dtype_);
    reals_.insert(reals_.end(), part.reals_.begin(), part.reals_.end());
    integers_.insert(integers_.end(), part.integers_.begin(), part.integers_.end());
  }
  shape_.insert(0, static_cast<std::int64_t>(parts.size()));
}

Tensor tensor(const NestedNumbers& numbers, const DataOptions& options) {
  DataOptions chosen = options;
  chosen.dtype = options.dtype.value_or(numbers.dtype());
  if (numbers.dtype() == f32) {
    return detail::tensor_of(numbers.reals().data(), f64, numbers.shape(), chosen);
  }
  return detail::tensor_of(numbers.integers().data(), i64, numbers.shape(), chosen);
}

namespace detail {

Tensor tensor_of(const void* values, DType dtype, const Shape& shape, const DataOptions& options) {
  const Tensor result = empty(shape, {.dtype = *options.dtype, .device = options.device});
  auto* source = const_cast<void*>(values);  // views are for writing, too
  copy_elements(row_major_view(source, dtype, shape), cpu, result.view(), options.device);
  return wanting_gradient(result, options.requires_grad);
}

void require_count(std::size_t count, const Shape& shape) {
  check(static_cast<std::int64_t>(count) == numel(shape),
        "tensor: {} values do not fill a tensor of shape {}", count, shape);
}

Tensor arange(double start, double end, double step, DType natural, const DataOptions& options) {
  check(step != 0 && std::isfinite(step) && std::isfinite(start) && std::isfinite(end),
        "arange: from {} to {} in steps of {} is no finite range", start, end, step);
  check((end - start) * step >= 0, "arange: steps of {} do not lead from {} to {}", step, start,
        end);
  const auto count = static_cast<std::int64_t>(std::ceil((end - start) / step));
  const TensorOptions chosen{.dtype = options.dtype.value_or(natural), .device = options.device};
  return wanting_gradient(evenly_spaced(start, step, count, chosen), options.requires_grad);
}

}  // namespace detail

Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options) {
  check(steps >= 0, "linspace: {} steps are not a number of elements", steps);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  const Tensor result = evenly_spaced(start, step, steps, options);
  if (steps > 1) result.slice(0, steps - 1, steps).fill_(end);  // exactly
  return wanting_gradient(result, options.requires_grad);
}

Tensor eye(std::int64_t rows, const TensorOptions& options) {
  return eye(rows, rows, options);
}

Tensor eye(std::int64_t rows, std::int64_t columns, const TensorOptions& options) {
  const Tensor result = zeros({rows, columns}, with_dtype(options, options.dtype));
  result.diagonal().fill_(1);
  return wanting_gradient(result, options.requires_grad);
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape,
               const TensorOptions& options) {
  check(low < high, "randint: there is no integer from {} to below {}", low, high);
  // Of 2^64 numbers the first 2^64 mod range are left out, and each remainder is equally likely.
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  const std::uint64_t first = (0 - range) % range;
  const kernels::RandomKey key = default_generator().next();
  PhiloxSequence random(key.seed, key.stream);
  const Tensor result = empty(shape, with_dtype(options, options.dtype));  // checks the shape
  std::vector<std::int64_t> values(static_cast<std::size_t>(result.numel()));
  for (std::int64_t& value : values) {
    std::uint64_t number = 0;
    do {
      number = std::uint64_t{random.next()} << 32;
      number |= random.next();
    } while (number < first);
    value = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + number % range);
  }
  copy_elements(row_major_view(values.data(), i64, shape), cpu, result.view(), result.device());
  return wanting_gradient(result, options.requires_grad);
}

Tensor randint(std::int64_t high, const Shape& shape, const TensorOptions& options) {
  return randint(0, high, shape, options);
}

Tensor randperm(std::int64_t count, const TensorOptions& options) {
  const kernels::RandomKey key = default_generator().next();
  const std::vector<std::int64_t> order = random_permutation(count, key.seed, key.stream);
  return tensor(
      order,
      {.dtype = options.dtype, .device = options.device, .requires_grad = options.requires_grad});
}

Tensor ones_like(const Tensor& other) {
  return full_like(other, 1);
}

Tensor full_like(const Tensor& other, double value) {
  return empty_like(other).fill_(value);
}

Tensor rand_like(const Tensor& other) {
  return empty_like(other).uniform_();
}

Tensor randn_like(const Tensor& other) {
  return empty_like(other).normal_();
}

}  // namespace minidl
