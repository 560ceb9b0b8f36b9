#include "minidl/kernels/common/shape.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "minidl/kernels/common/check.h"

namespace minidl {

Dims::Dims(std::initializer_list<std::int64_t> values)
    : Dims(std::span<const std::int64_t>(values.begin(), values.size())) {}

Dims::Dims(std::span<const std::int64_t> values) {
  for (std::int64_t value : values) push_back(value);
}

Dims Dims::filled(int count, std::int64_t value) {
  Dims dims;
  for (int i = 0; i < count; ++i) dims.push_back(value);
  return dims;
}

void Dims::push_back(std::int64_t value) {
  insert(size_, value);
}

void Dims::insert(int position, std::int64_t value) {
  check(size_ < kMaxDims, "a tensor has at most {} dimensions", kMaxDims);
  std::copy_backward(begin() + position, end(), end() + 1);
  ++size_;
  (*this)[position] = value;
}

void Dims::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --size_;
}

Dims Dims::slice(int begin, int end) const {
  return Dims(std::span(this->begin() + begin, this->begin() + end));
}

std::string to_string(const Dims& dims) {
  return fmt::format("[{}]", fmt::join(dims.begin(), dims.end(), ", "));
}

std::int64_t numel(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

namespace {

// Dense strides with the dimensions nested from outermost to innermost as `order` lists them.
Strides nested_strides(const Shape& shape, const Dims& order) {
  Strides strides = Dims::filled(shape.size(), 1);
  std::int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    const int dim = static_cast<int>(order[i]);
    strides[dim] = step;
    step *= std::max<std::int64_t>(shape[dim], 1);
  }
  return strides;
}

}  // namespace

Strides contiguous_strides(const Shape& shape) {
  Dims order;
  for (int i = 0; i < shape.size(); ++i) order.push_back(i);
  return nested_strides(shape, order);
}

Strides channels_last_strides(const Shape& shape) {
  check(shape.size() == 4, "channels last wants a 4-D tensor [N, C, H, W], got {}", shape);
  return nested_strides(shape, {0, 2, 3, 1});
}

Strides strides_like(const Shape& shape, const Strides& like) {
  return strides_like(shape, shape, like);
}

Strides strides_like(const Shape& shape, const Shape& like_shape, const Strides& like) {
  const auto decides = [&](int dim) { return shape[dim] != 1 && like_shape[dim] != 1; };
  // Insertion sort, because the comparison is partial: a dimension of size 1 stays where it is.
  Dims order;
  for (int dim = 0; dim < shape.size(); ++dim) {
    int position = order.size();
    for (int i = order.size() - 1; i >= 0; --i) {
      const int other = static_cast<int>(order[i]);
      if (!decides(other) || !decides(dim)) continue;
      if (like[other] >= like[dim]) break;
      position = i;
    }
    order.insert(position, dim);
  }
  return nested_strides(shape, order);
}

bool same_layout(const Shape& shape, const Strides& a, const Strides& b) {
  if (numel(shape) == 0) return true;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1 && a[i] != b[i]) return false;
  }
  return true;
}

bool is_contiguous(const Shape& shape, const Strides& strides) {
  return same_layout(shape, strides, contiguous_strides(shape));
}

bool is_channels_last(const Shape& shape, const Strides& strides) {
  return shape.size() == 4 && same_layout(shape, strides, channels_last_strides(shape));
}

bool is_dense(const Shape& shape, const Strides& strides) {
  return same_layout(shape, strides, strides_like(shape, strides));
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const int ndim = std::max(a.size(), b.size());
  Shape out = Dims::filled(ndim, 1);
  for (int i = 1; i <= ndim; ++i) {
    const std::int64_t x = i <= a.size() ? a[a.size() - i] : 1;
    const std::int64_t y = i <= b.size() ? b[b.size() - i] : 1;
    check(x == y || x == 1 || y == 1, "{}: shapes {} and {} do not broadcast", op, a, b);
    out[ndim - i] = x == 1 ? y : x;
  }
  return out;
}

Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& target) {
  Strides out = Dims::filled(target.size(), 0);
  const int lead = target.size() - shape.size();
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == target[lead + i]) out[lead + i] = strides[i];
  }
  return out;
}

int normalize_dim(const char* op, std::int64_t dim, int ndim) {
  check(dim >= -ndim && dim < ndim, "{}: dimension {} is out of range for a {}-D tensor", op, dim,
        ndim);
  return static_cast<int>(dim < 0 ? dim + ndim : dim);
}

}  // namespace minidl
