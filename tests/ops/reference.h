// Small arrays of doubles with logical indices: what reference implementations are written with.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::test {

/// A row-major array of doubles.
struct Array {
  Shape shape;
  std::vector<double> values;

  Array() = default;
  explicit Array(const Shape& s) : shape(s), values(static_cast<std::size_t>(numel(s))) {}
  static Array of(const Tensor& tensor) {
    Array array;
    array.shape = tensor.shape();
    array.values = tensor.to_vector();
    return array;
  }

  double& at(const Dims& index) { return values[position(index)]; }
  double at(const Dims& index) const { return values[position(index)]; }

  /// The element that the index of a shape which this one broadcasts to refers to.
  double broadcast_at(const Dims& index) const {
    Dims own;
    const int lead = index.size() - shape.size();
    for (int i = 0; i < shape.size(); ++i) own.push_back(shape[i] == 1 ? 0 : index[lead + i]);
    return at(own);
  }

 private:
  std::size_t position(const Dims& index) const {
    std::int64_t result = 0;
    for (int i = 0; i < shape.size(); ++i) result = result * shape[i] + index[i];
    return static_cast<std::size_t>(result);
  }
};

using Arrays = std::vector<Array>;

/// Calls `visit` with every index of `shape`, in row-major order.
inline void for_each_index(const Shape& shape, const std::function<void(const Dims&)>& visit) {
  Dims index = Dims::filled(shape.size(), 0);
  for (std::int64_t i = 0; i < numel(shape); ++i) {
    visit(index);
    for (int dim = shape.size() - 1; dim >= 0; --dim) {
      if (++index[dim] < shape[dim]) break;
      index[dim] = 0;
    }
  }
}

/// An array of `shape` whose elements `f` computes from their indices.
inline Array generate(const Shape& shape, const std::function<double(const Dims&)>& f) {
  Array out(shape);
  for_each_index(shape, [&](const Dims& index) { out.at(index) = f(index); });
  return out;
}

}  // namespace minidl::test
