// More ways to make a tensor: from numbers in nested braces or vectors, ranges, random integers,
// and in the likeness of another. The first ones are in core/tensor.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <type_traits>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl {

/// TensorOptions where the dtype may be left to the numbers: f32 if there is a floating-point one
/// among them, i64 if there are integers, bool if there are only bools.
struct DataOptions {
  std::optional<DType> dtype = {};
  Device device = default_device();
  bool requires_grad = false;
};

/// A number, or a list of equally long lists: what stands between the braces of
/// tensor({{1, 2}, {3, 4}}).
class NestedNumbers {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> NestedNumbers(T value)
      : dtype_(std::is_same_v<T, bool> ? boolean
               : std::is_integral_v<T> ? i64
                                       : f32),
        reals_{static_cast<double>(value)},
        integers_{std::is_integral_v<T> ? static_cast<std::int64_t>(value) : 0} {}
  /// Throws Error where the shapes of the parts differ.
  NestedNumbers(std::initializer_list<NestedNumbers> parts);

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  const std::vector<double>& reals() const { return reals_; }
  /// Exact beyond 2^53; meaningless if dtype() is f32.
  const std::vector<std::int64_t>& integers() const { return integers_; }

 private:
  Shape shape_;
  DType dtype_;
  std::vector<double> reals_;
  std::vector<std::int64_t> integers_;
};

/// tensor({1.5, 2}), tensor({{1, 2}, {3, 4}}), tensor(3): the braces give the shape.
Tensor tensor(const NestedNumbers& numbers, const DataOptions& options = {});

/// The C++ types that are elements of some dtype.
template <class T>
concept Element = requires {
  dtype_of<T>::value;
};

namespace detail {

/// A copy of row-major host memory; options.dtype must be given.
Tensor tensor_of(const void* values, DType dtype, const Shape& shape, const DataOptions& options);

void require_count(std::size_t count, const Shape& shape);

template <class T>
inline constexpr DType natural_dtype = std::is_same_v<T, bool> ? boolean
                                       : std::is_integral_v<T> ? i64
                                                               : f32;

Tensor arange(double start, double end, double step, DType natural, const DataOptions& options);

}  // namespace detail

/// The values, in row-major order where a shape is given; throws Error unless there are
/// numel(shape) of them.
template <Element T>
Tensor tensor(const std::vector<T>& values, const Shape& shape, DataOptions options = {}) {
  detail::require_count(values.size(), shape);
  options.dtype = options.dtype.value_or(detail::natural_dtype<T>);
  if constexpr (std::is_same_v<T, bool>) {  // whose vector has no data()
    const std::vector<std::uint8_t> bytes(values.begin(), values.end());
    return detail::tensor_of(bytes.data(), u8, shape, options);
  } else {
    return detail::tensor_of(values.data(), dtype_of_v<T>, shape, options);
  }
}
template <Element T>
Tensor tensor(const std::vector<T>& values, const DataOptions& options = {}) {
  return tensor(values, Shape{static_cast<std::int64_t>(values.size())}, options);
}

template <class T>
concept Number = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

/// start, start + step, ... as far as they are below `end` (above it, where step is negative).
/// Throws Error if the step is 0 or leads away from `end`.
template <Number A, Number B, Number S>
Tensor arange(A start, B end, S step, const DataOptions& options = {}) {
  constexpr bool kWhole = std::is_integral_v<A> && std::is_integral_v<B> && std::is_integral_v<S>;
  return detail::arange(static_cast<double>(start), static_cast<double>(end),
                        static_cast<double>(step), kWhole ? i64 : f32, options);
}
template <Number A, Number B>
Tensor arange(A start, B end, const DataOptions& options = {}) {
  return arange(start, end, 1, options);
}
template <std::floating_point B>
Tensor arange(B end, const DataOptions& options = {}) {
  return arange(0, end, 1, options);
}

/// `steps` evenly spaced numbers from start to end, both included.
Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options = {});

/// Ones on the diagonal of a [rows, columns] (or square) matrix, zeros elsewhere.
Tensor eye(std::int64_t rows, const TensorOptions& options = {});
Tensor eye(std::int64_t rows, std::int64_t columns, const TensorOptions& options = {});

// Random integers are drawn on the host, from the default generator (core/random.h).

/// Uniform in low..high-1, without bias. Throws Error unless low < high.
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape,
               const TensorOptions& options = {.dtype = i64});
Tensor randint(std::int64_t high, const Shape& shape,
               const TensorOptions& options = {.dtype = i64});
/// 0..count-1 in random order.
Tensor randperm(std::int64_t count, const TensorOptions& options = {.dtype = i64});

// Shape, dtype, device and (dense) layout of `other`; fake if it is.
Tensor ones_like(const Tensor& other);
Tensor full_like(const Tensor& other, double value);
Tensor rand_like(const Tensor& other);
Tensor randn_like(const Tensor& other);

}  // namespace minidl
