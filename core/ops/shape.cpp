#include "minidl/core/ops/shape.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/view_op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"

namespace minidl {
namespace {

// Strides that show the elements in `shape` without copying, if there are any. Both shapes are cut
// into the smallest groups of dimensions with equal products; within an old group the elements must
// be evenly spaced.
std::optional<Strides> reshaped_strides(const Shape& old_shape, const Strides& old_strides,
                                        const Shape& shape) {
  if (numel(shape) == 0) return contiguous_strides(shape);
  Strides strides = Dims::filled(shape.size(), 1);
  int old_dim = old_shape.size() - 1;
  int dim = shape.size() - 1;
  while (old_dim >= 0) {
    if (old_shape[old_dim] == 1) {
      --old_dim;
      continue;
    }
    const std::int64_t step = old_strides[old_dim];
    std::int64_t group = old_shape[old_dim--];
    std::int64_t filled = 1;
    while (true) {
      while (dim >= 0 && filled * shape[dim] <= group && (filled < group || shape[dim] == 1)) {
        strides[dim] = step * filled;
        filled *= shape[dim--];
      }
      if (filled == group) break;
      // The group must grow by the next old dimension: only if it continues the even spacing.
      while (old_dim >= 0 && old_shape[old_dim] == 1) --old_dim;
      if (old_dim < 0 || old_strides[old_dim] != step * group) return std::nullopt;
      group *= old_shape[old_dim--];
    }
  }
  return strides;
}

class Reshape final : public Op {
 public:
  explicit Reshape(const Shape& shape) : shape_(shape) {}
  const char* name() const override { return "reshape"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const Shape shape = resolve(in[0].shape);
    if (const auto strides = reshaped_strides(in[0].shape, in[0].strides, shape)) {
      return {view_spec(in[0], shape, *strides, in[0].offset)};
    }
    return {in[0].with_shape(shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::View target = out[0];
    target.shape = in[0].shape;
    target.strides = contiguous_strides(in[0].shape);
    kernels::copy(ctx, in[0], target);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {grads[0].reshape(ctx.input_spec(0).shape)};
  }

 private:
  // Fills in an extent of -1.
  Shape resolve(const Shape& old_shape) const {
    Shape shape = shape_;
    int unknown = -1;
    std::int64_t known = 1;
    for (int i = 0; i < shape.size(); ++i) {
      if (shape[i] == -1) {
        check(unknown < 0, "reshape: {} leaves more than one extent open", shape_);
        unknown = i;
      } else {
        check(shape[i] >= 0, "reshape: {} has a negative extent", shape_);
        known *= shape[i];
      }
    }
    const std::int64_t count = numel(old_shape);
    if (unknown >= 0) {
      check(known > 0 && count % known == 0, "reshape: {} elements of {} do not fit {}", count,
            old_shape, shape_);
      shape[unknown] = count / known;
    }
    check(numel(shape) == count, "reshape: {} elements of {} do not fit {}", count, old_shape,
          shape_);
    return shape;
  }

  Shape shape_;
};

class Permute final : public ViewOp {
 public:
  explicit Permute(const Dims& dims) : dims_(dims) {}
  const char* name() const override { return "permute"; }
  std::string attributes() const override { return Attributes().add("dims", dims_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const int ndim = in[0].dim();
    check(dims_.size() == ndim, "permute: {} does not name each of {} dimensions", dims_, ndim);
    Shape shape;
    Strides strides;
    Dims seen = Dims::filled(ndim, 0);
    for (const std::int64_t entry : dims_) {
      const int dim = normalize_dim("permute", entry, ndim);
      check(seen[dim]++ == 0, "permute: {} names dimension {} twice", dims_, dim);
      shape.push_back(in[0].shape[dim]);
      strides.push_back(in[0].strides[dim]);
    }
    return {view_spec(in[0], shape, strides, in[0].offset)};
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    Dims inverse = dims_;
    for (int i = 0; i < dims_.size(); ++i) {
      inverse[normalize_dim("permute", dims_[i], dims_.size())] = i;
    }
    return {grads[0].permute(inverse)};
  }

 private:
  Dims dims_;
};

class Expand final : public ViewOp {
 public:
  explicit Expand(const Shape& shape) : shape_(shape) {}
  const char* name() const override { return "expand"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const Shape shape = resolve(in[0].shape);
    check(broadcast_shapes(name(), in[0].shape, shape) == shape,
          "expand: {} does not stretch to {}", in[0].shape, shape_);
    return {view_spec(in[0], shape, broadcast_strides(in[0].shape, in[0].strides, shape),
                      in[0].offset)};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {sum_to(grads[0], ctx.input_spec(0).shape)};
  }

 private:
  // Fills in extents of -1.
  Shape resolve(const Shape& old_shape) const {
    Shape shape = shape_;
    const int lead = shape.size() - old_shape.size();
    for (int i = 0; i < shape.size(); ++i) {
      if (shape[i] == -1 && i >= lead) shape[i] = old_shape[i - lead];
      check(shape[i] >= 0, "expand: {} leaves an extent open that {} does not have", shape_,
            old_shape);
    }
    return shape;
  }

  Shape shape_;
};

class SliceView final : public ViewOp {
 public:
  SliceView(int dim, std::int64_t start, std::int64_t end, std::int64_t step)
      : dim_(dim), start_(start), end_(end), step_(step) {}
  const char* name() const override { return "slice"; }
  std::string attributes() const override {
    return Attributes()
        .add("dim", dim_)
        .add("start", start_)
        .add("end", end_)
        .add("step", step_, 1)
        .text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    Strides strides = in[0].strides;
    shape[dim_] = (end_ - start_ + step_ - 1) / step_;
    strides[dim_] *= step_;
    return {view_spec(in[0], shape, strides, in[0].offset + start_ * in[0].strides[dim_])};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor full = zero_gradient(ctx.input_spec(0));
    full.slice(dim_, start_, end_, step_).copy_(grads[0]);
    return {full};
  }

 private:
  int dim_;
  std::int64_t start_;
  std::int64_t end_;
  std::int64_t step_;
};

class Diagonal final : public ViewOp {
 public:
  Diagonal(std::int64_t offset, int dim1, int dim2) : offset_(offset), dim1_(dim1), dim2_(dim2) {}
  const char* name() const override { return "diagonal"; }
  std::string attributes() const override {
    return Attributes().add("offset", offset_, 0).add("dim1", dim1_).add("dim2", dim2_).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    Strides strides = in[0].strides;
    const std::int64_t offset = std::clamp(offset_, -shape[dim1_], shape[dim2_]);
    const std::int64_t down = std::max<std::int64_t>(-offset, 0);
    const std::int64_t right = std::max<std::int64_t>(offset, 0);
    const std::int64_t length = std::min(shape[dim1_] - down, shape[dim2_] - right);
    const std::int64_t start = length > 0 ? down * strides[dim1_] + right * strides[dim2_] : 0;
    const std::int64_t step = strides[dim1_] + strides[dim2_];
    for (const int dim : {std::max(dim1_, dim2_), std::min(dim1_, dim2_)}) {
      shape.erase(dim);
      strides.erase(dim);
    }
    shape.push_back(length);
    strides.push_back(step);
    return {view_spec(in[0], shape, strides, in[0].offset + start)};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor full = zero_gradient(ctx.input_spec(0));
    full.diagonal(offset_, dim1_, dim2_).copy_(grads[0]);
    return {full};
  }

 private:
  std::int64_t offset_;
  int dim1_;
  int dim2_;
};

}  // namespace

Tensor Tensor::reshape(const Shape& shape) const {
  return apply_op<Reshape>({*this}, shape);
}

Tensor Tensor::reshape_as(const Tensor& other) const {
  return reshape(other.shape());
}

Tensor Tensor::unflatten(std::int64_t dim, const Shape& sizes) const {
  const int at = normalize_dim("unflatten", dim, this->dim());
  check(!sizes.empty(), "unflatten: no extents were given for dimension {} of {}", at, shape());
  std::int64_t known = 1;
  int unknown = 0;
  for (const std::int64_t extent : sizes) {
    unknown += extent == -1 ? 1 : 0;
    known *= extent == -1 ? 1 : extent;
  }
  const bool fits =
      unknown == 0 ? known == size(at) : unknown == 1 && known > 0 && size(at) % known == 0;
  check(fits, "unflatten: dimension {} of {} does not fit into {}", at, shape(), sizes);
  Shape result = shape().slice(0, at);
  for (const std::int64_t extent : sizes) {
    result.push_back(extent == -1 ? size(at) / known : extent);
  }
  for (int i = at + 1; i < this->dim(); ++i) result.push_back(size(i));
  return reshape(result);
}

Tensor Tensor::flatten(std::int64_t start_dim, std::int64_t end_dim) const {
  if (dim() == 0) return reshape({1});
  const int first = normalize_dim("flatten", start_dim, dim());
  const int last = normalize_dim("flatten", end_dim, dim());
  check(first <= last, "flatten: dimension {} comes after {}", start_dim, end_dim);
  Shape flat;
  std::int64_t joined = 1;
  for (int i = 0; i < dim(); ++i) {
    const bool inside = i >= first && i <= last;
    joined *= inside ? size(i) : 1;
    if (!inside) flat.push_back(size(i));
    if (i == last) flat.push_back(joined);
  }
  return reshape(flat);
}

Tensor Tensor::permute(const Dims& dims) const {
  return apply_op<Permute>({*this}, dims);
}

Tensor Tensor::transpose(std::int64_t dim0, std::int64_t dim1) const {
  Dims dims;
  for (int i = 0; i < dim(); ++i) dims.push_back(i);
  std::swap(dims[normalize_dim("transpose", dim0, dim())],
            dims[normalize_dim("transpose", dim1, dim())]);
  return permute(dims);
}

Tensor Tensor::movedim(const Dims& source, const Dims& destination) const {
  check(source.size() == destination.size(), "movedim: {} and {} differ in length", source,
        destination);
  Dims order = Dims::filled(dim(), -1);  // of the result, -1 where nothing has moved to
  Dims moved = Dims::filled(dim(), 0);
  for (int i = 0; i < source.size(); ++i) {
    const int from = normalize_dim("movedim", source[i], dim());
    const int to = normalize_dim("movedim", destination[i], dim());
    check(moved[from]++ == 0 && order[to] == -1, "movedim: {} to {} names a dimension twice",
          source, destination);
    order[to] = from;
  }
  int next = 0;
  for (std::int64_t& entry : order) {
    if (entry != -1) continue;
    while (moved[next] != 0) ++next;
    entry = next++;
  }
  return permute(order);
}

Tensor Tensor::movedim(std::int64_t source, std::int64_t destination) const {
  return movedim(Dims{source}, Dims{destination});
}

Tensor Tensor::t() const {
  check(dim() == 2, "t: a matrix is needed, not a tensor of shape {}", shape());
  return transpose(0, 1);
}

Tensor Tensor::expand(const Shape& shape) const {
  return apply_op<Expand>({*this}, shape);
}

Tensor Tensor::expand_as(const Tensor& other) const {
  return expand(other.shape());
}

Tensor Tensor::broadcast_to(const Shape& shape) const {
  return expand(shape);
}

Tensor Tensor::squeeze() const {
  Shape result;
  for (const std::int64_t extent : shape()) {
    if (extent != 1) result.push_back(extent);
  }
  return result == shape() ? *this : reshape(result);
}

Tensor Tensor::squeeze(std::int64_t dim) const {
  const int at = normalize_dim("squeeze", dim, this->dim());
  if (size(at) != 1) return *this;
  Shape result = shape();
  result.erase(at);
  return reshape(result);
}

Tensor Tensor::unsqueeze(std::int64_t dim) const {
  Shape result = shape();
  result.insert(normalize_dim("unsqueeze", dim, this->dim() + 1), 1);
  return reshape(result);
}

Tensor Tensor::slice(std::int64_t dim, std::int64_t start, std::int64_t end,
                     std::int64_t step) const {
  const int at = normalize_dim("slice", dim, this->dim());
  check(step > 0, "slice: the step must be positive, not {}", step);
  const std::int64_t extent = size(at);
  // Python's rules: negative positions count from the end, positions beyond an end stop there.
  auto position = [extent](std::int64_t p) {
    return std::clamp<std::int64_t>(p < 0 ? p + extent : p, 0, extent);
  };
  const std::int64_t first = position(start);
  const std::int64_t stride = std::min(step, std::max<std::int64_t>(extent, 1));
  return apply_op<SliceView>({*this}, at, first, std::max(first, position(end)), stride);
}

Tensor Tensor::select(std::int64_t dim, std::int64_t index) const {
  const int at = normalize_dim("select", dim, this->dim());
  check(index >= -size(at) && index < size(at),
        "select: index {} is out of range for dimension {} of shape {}", index, dim, shape());
  const std::int64_t start = index < 0 ? index + size(at) : index;
  return slice(at, start, start + 1).squeeze(at);
}

Tensor Tensor::narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const {
  const int at = normalize_dim("narrow", dim, this->dim());
  const std::int64_t first = start < 0 ? start + size(at) : start;
  check(first >= 0 && length >= 0 && first <= size(at) && length <= size(at) - first,
        "narrow: {} elements from {} on are not in dimension {} of shape {}", length, start, at,
        shape());
  return slice(at, first, first + length);
}

Tensor Tensor::diagonal(std::int64_t offset, std::int64_t dim1, std::int64_t dim2) const {
  const int first = normalize_dim("diagonal", dim1, dim());
  const int second = normalize_dim("diagonal", dim2, dim());
  check(first != second, "diagonal: dimensions {} and {} of shape {} are the same", dim1, dim2,
        shape());
  return apply_op<Diagonal>({*this}, offset, first, second);
}

}  // namespace minidl
