// Other views of the same elements, joining and cutting tensors, moving elements about. What
// depends on one tensor is its method, too: see core/tensor.h for shapes and arguments. There is no
// `view`: `reshape` shows the elements where it can and copies where it must.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl {

/// Joins tensors along `dim`: equal rank and equal extents elsewhere, else Error. Dtypes are
/// promoted to a common one. The layout is that of the first dense tensor with elements (longer
/// than 1 along `dim`, if there is one). At least one tensor is needed.
Tensor cat(const Tensors& tensors, std::int64_t dim = 0);
/// The same along a new dimension `dim`: all of one shape, else Error.
Tensor stack(const Tensors& tensors, std::int64_t dim = 0);

/// How the edge of a tensor goes on beyond it.
enum class PadMode {
  constant,   ///< with a value
  reflect,    ///< mirrored at the outermost element, which is not repeated
  replicate,  ///< with the outermost element
  circular,   ///< from the other end
};
/// Adds elements around `x`. `padding` has two numbers for each dimension from the last one on:
/// {left, right, top, bottom} for images, at most four dimensions. Negative numbers take elements
/// away. Throws Error where there is too little to reflect or to go round.
Tensor pad(const Tensor& x, const Dims& padding, PadMode mode = PadMode::constant,
           double value = 0);

/// What broadcasting the tensors against each other makes of them; views.
Tensors broadcast_tensors(const Tensors& tensors);

enum class MeshIndexing {
  ij,  ///< the first tensor varies along dimension 0, the second along 1, as in a matrix
  xy,  ///< the first two the other way round, as in a plane
};
/// The coordinates of a grid from those along its axes (1-D or 0-D): views.
Tensors meshgrid(const Tensors& tensors, MeshIndexing indexing = MeshIndexing::ij);

// At least so many dimensions: new ones are put in front, atleast_3d's third one behind.
Tensor atleast_1d(const Tensor& x);
Tensor atleast_2d(const Tensor& x);
Tensor atleast_3d(const Tensor& x);

inline Tensor reshape(const Tensor& x, const Shape& shape) {
  return x.reshape(shape);
}
inline Tensor permute(const Tensor& x, const Dims& dims) {
  return x.permute(dims);
}
inline Tensor transpose(const Tensor& x, std::int64_t dim0, std::int64_t dim1) {
  return x.transpose(dim0, dim1);
}
inline Tensor movedim(const Tensor& x, const Dims& source, const Dims& destination) {
  return x.movedim(source, destination);
}
inline Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  return x.broadcast_to(shape);
}
inline Tensor squeeze(const Tensor& x) {
  return x.squeeze();
}
inline Tensor squeeze(const Tensor& x, std::int64_t dim) {
  return x.squeeze(dim);
}
inline Tensor unsqueeze(const Tensor& x, std::int64_t dim) {
  return x.unsqueeze(dim);
}
inline Tensor diagonal(const Tensor& x, std::int64_t offset = 0, std::int64_t dim1 = 0,
                       std::int64_t dim2 = 1) {
  return x.diagonal(offset, dim1, dim2);
}
inline Tensors split(const Tensor& x, const std::vector<std::int64_t>& sizes,
                     std::int64_t dim = 0) {
  return x.split(sizes, dim);
}
template <std::integral I>
Tensors split(const Tensor& x, I size, std::int64_t dim = 0) {
  return x.split(size, dim);
}
inline Tensors chunk(const Tensor& x, std::int64_t chunks, std::int64_t dim = 0) {
  return x.chunk(chunks, dim);
}
inline Tensors unbind(const Tensor& x, std::int64_t dim = 0) {
  return x.unbind(dim);
}
inline Tensor tile(const Tensor& x, const Dims& repeats) {
  return x.tile(repeats);
}
inline Tensor repeat_interleave(const Tensor& x, std::int64_t repeats,
                                std::optional<std::int64_t> dim = {}) {
  return x.repeat_interleave(repeats, dim);
}
inline Tensor flip(const Tensor& x, const Dims& dims) {
  return x.flip(dims);
}
template <std::integral I>
Tensor flip(const Tensor& x, I dim) {
  return x.flip(dim);
}
inline Tensor roll(const Tensor& x, const Dims& shifts, const Dims& dims = {}) {
  return x.roll(shifts, dims);
}
template <std::integral I>
Tensor roll(const Tensor& x, I shift, std::optional<std::int64_t> dim = {}) {
  return x.roll(shift, dim);
}
inline Tensor tril(const Tensor& x, std::int64_t diagonal = 0) {
  return x.tril(diagonal);
}
inline Tensor triu(const Tensor& x, std::int64_t diagonal = 0) {
  return x.triu(diagonal);
}
inline Tensor masked_select(const Tensor& x, const Tensor& mask) {
  return x.masked_select(mask);
}
inline Tensor nonzero(const Tensor& x) {
  return x.nonzero();
}

}  // namespace minidl
