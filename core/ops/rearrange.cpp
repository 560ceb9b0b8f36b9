// Elements moved about or repeated: flip, roll, repeat, pad, triangles, grids.

#include <algorithm>
#include <utility>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"

namespace minidl {
namespace {

using kernels::View;

View moved_by(View view, std::int64_t elements) {
  view.data = view.ptr<char>() + elements * static_cast<std::int64_t>(size_of(view.dtype));
  return view;
}

class Flip final : public Op {
 public:
  explicit Flip(const Dims& dims) : dims_(dims) {}
  const char* name() const override { return "flip"; }
  std::string attributes() const override { return Attributes().add("dims", dims_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Dims seen = Dims::filled(in[0].dim(), 0);
    for (const std::int64_t entry : dims_) {
      const int dim = normalize_dim(name(), entry, in[0].dim());
      check(seen[dim]++ == 0, "flip: {} names dimension {} twice", dims_, dim);
    }
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    View source = in[0];
    if (source.numel() == 0) return;
    for (const std::int64_t entry : dims_) {
      const int dim = normalize_dim(name(), entry, source.ndim());
      source = moved_by(source, (source.shape[dim] - 1) * source.strides[dim]);
      source.strides[dim] = -source.strides[dim];
    }
    kernels::copy(ctx, source, out[0]);
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    return {grads[0].flip(dims_)};
  }

 private:
  Dims dims_;
};

// Pads with a constant; no number is negative. `before` and `after` are one number per dimension.
class Pad final : public Op {
 public:
  Pad(const Dims& before, const Dims& after, double value)
      : before_(before), after_(after), value_(value) {}
  const char* name() const override { return "pad"; }
  std::string attributes() const override {
    return Attributes().add("before", before_).add("after", after_).add("value", value_, 0).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    for (int i = 0; i < shape.size(); ++i) shape[i] += before_[i] + after_[i];
    TensorSpec out = in[0].with_shape(shape);
    if (is_dense(in[0].shape, in[0].strides)) {
      out.strides = strides_like(shape, in[0].shape, in[0].strides);
    }
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::fill(ctx, out[0], value_);
    if (in[0].numel() == 0) return;
    std::int64_t start = 0;
    for (int i = 0; i < before_.size(); ++i) start += before_[i] * out[0].strides[i];
    View inner = moved_by(out[0], start);
    inner.shape = in[0].shape;
    kernels::copy(ctx, in[0], inner);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensor inner = grads[0];
    for (int i = 0; i < before_.size(); ++i) {
      inner = inner.narrow(i, before_[i], ctx.input_spec(0).shape[i]);
    }
    return {inner};
  }

 private:
  Dims before_;
  Dims after_;
  double value_;
};

// Row by row with the kernels that every device has. The rows of all matrices are done together.
class Triangle final : public Op {
 public:
  Triangle(bool upper, std::int64_t diagonal) : upper_(upper), diagonal_(diagonal) {}
  const char* name() const override { return upper_ ? "triu" : "tril"; }
  std::string attributes() const override {
    return Attributes().add("diagonal", diagonal_, 0).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check(in[0].dim() >= 2, "{}: matrices are needed, not a tensor of shape {}", name(),
          in[0].shape);
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    if (in[0].numel() == 0) return;
    const std::int64_t columns = in[0].shape.back();
    const std::int64_t rows = in[0].size(in[0].ndim() - 2);
    const std::int64_t diagonal = std::clamp(diagonal_, -rows, columns);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t shift = upper_ ? 0 : 1;
      const std::int64_t border = std::clamp<std::int64_t>(row + diagonal + shift, 0, columns);
      const std::int64_t kept_from = upper_ ? border : 0;
      const std::int64_t kept_to = upper_ ? columns : border;
      const std::int64_t zero_from = upper_ ? 0 : border;
      const std::int64_t zero_to = upper_ ? border : columns;
      kernels::copy(ctx, part(in[0], row, kept_from, kept_to),
                    part(out[0], row, kept_from, kept_to));
      kernels::fill(ctx, part(out[0], row, zero_from, zero_to), 0);
    }
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    return {upper_ ? grads[0].triu(diagonal_) : grads[0].tril(diagonal_)};
  }

 private:
  // Columns begin..end-1 of one row of every matrix.
  static View part(const View& matrices, std::int64_t row, std::int64_t begin, std::int64_t end) {
    const int at = matrices.ndim() - 2;
    const std::int64_t start = row * matrices.strides[at] + begin * matrices.strides[at + 1];
    View view = moved_by(matrices, begin < end ? start : 0);
    view.shape[at + 1] = end - begin;
    view.shape.erase(at);
    view.strides.erase(at);
    return view;
  }

  bool upper_;
  std::int64_t diagonal_;
};

// For what promises new elements but had nothing to do.
Tensor unshared(const Tensor& result, const Tensor& x) {
  return result.storage() == x.storage() ? result.clone() : result;
}

// `count` copies of x side by side, or of each element (`interleaved`).
Tensor repeat_dim(const Tensor& x, int dim, std::int64_t count, bool interleaved) {
  if (count == 1) return x;
  const std::int64_t before = numel(x.shape().slice(0, dim));
  const std::int64_t extent = x.size(dim);
  const std::int64_t behind = numel(x.shape().slice(dim + 1, x.dim()));
  Shape result = x.shape();
  result[dim] = extent * count;
  const std::int64_t outer = interleaved ? before * extent : before;
  const std::int64_t inner = interleaved ? behind : extent * behind;
  return x.reshape({outer, 1, inner}).expand({outer, count, inner}).reshape(result);
}

// Adds `before` and `after` elements at the ends of a dimension of which there are enough.
Tensor continue_edge(const Tensor& x, int dim, std::int64_t before, std::int64_t after,
                     PadMode mode) {
  const std::int64_t extent = x.size(dim);
  Tensor left;
  Tensor right;
  if (mode == PadMode::reflect) {
    check(before < extent && after < extent,
          "pad: dimension {} of shape {} has too few elements to reflect {} and {}", dim, x.shape(),
          before, after);
    left = x.narrow(dim, 1, before).flip({dim});
    right = x.narrow(dim, extent - 1 - after, after).flip({dim});
  } else if (mode == PadMode::circular) {
    check(before <= extent && after <= extent,
          "pad: dimension {} of shape {} has too few elements to go round by {} and {}", dim,
          x.shape(), before, after);
    left = x.narrow(dim, extent - before, before);
    right = x.narrow(dim, 0, after);
  } else {
    check(extent > 0, "pad: dimension {} of shape {} has no element to replicate", dim, x.shape());
    Shape shape = x.shape();
    shape[dim] = before;
    left = x.narrow(dim, 0, 1).expand(shape);
    shape[dim] = after;
    right = x.narrow(dim, extent - 1, 1).expand(shape);
  }
  return cat({left, x, right}, dim);
}

}  // namespace

Tensor pad(const Tensor& x, const Dims& padding, PadMode mode, double value) {
  check(padding.size() % 2 == 0 && padding.size() / 2 <= x.dim(),
        "pad: {} is not two numbers for each of the last dimensions of {}", padding, x.shape());
  Dims before = Dims::filled(x.dim(), 0);
  Dims after = before;
  Tensor result = x;
  for (int i = 0; i < padding.size() / 2; ++i) {
    const int dim = x.dim() - 1 - i;
    const std::int64_t left = padding[2 * i];
    const std::int64_t right = padding[2 * i + 1];
    const std::int64_t start = left < 0 ? -left : 0;
    const std::int64_t taken = start + (right < 0 ? -right : 0);
    check(taken <= x.size(dim), "pad: {} takes away more than dimension {} of {} has", padding, dim,
          x.shape());
    result = taken > 0 ? result.narrow(dim, start, x.size(dim) - taken) : result;
    before[dim] = std::max<std::int64_t>(left, 0);
    after[dim] = std::max<std::int64_t>(right, 0);
  }
  if (mode == PadMode::constant) return apply_op<Pad>({result}, before, after, value);
  for (int dim = x.dim() - 1; dim >= 0; --dim) {
    if (before[dim] == 0 && after[dim] == 0) continue;
    result = continue_edge(result, dim, before[dim], after[dim], mode);
  }
  return unshared(result, x);
}

Tensors broadcast_tensors(const Tensors& tensors) {
  Shape shape;
  for (const Tensor& tensor : tensors) {
    shape = broadcast_shapes("broadcast_tensors", shape, tensor.shape());
  }
  Tensors result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.expand(shape));
  return result;
}

Tensors meshgrid(const Tensors& tensors, MeshIndexing indexing) {
  check(!tensors.empty(), "meshgrid: no tensors were given");
  Tensors axes = tensors;
  const bool swapped = indexing == MeshIndexing::xy && axes.size() > 1;
  if (swapped) std::swap(axes[0], axes[1]);
  Shape shape;
  for (const Tensor& axis : axes) {
    check(axis.dim() <= 1, "meshgrid: an axis is 1-D or 0-D, not of shape {}", axis.shape());
    shape.push_back(axis.numel());
  }
  for (int i = 0; i < shape.size(); ++i) {
    Shape along = Dims::filled(shape.size(), 1);
    along[i] = shape[i];
    Tensor& axis = axes[static_cast<std::size_t>(i)];
    axis = axis.reshape(along).expand(shape);
  }
  if (swapped) std::swap(axes[0], axes[1]);
  return axes;
}

Tensor atleast_1d(const Tensor& x) {
  return x.dim() == 0 ? x.unsqueeze(0) : x;
}

Tensor atleast_2d(const Tensor& x) {
  return x.dim() < 2 ? atleast_1d(x).unsqueeze(0) : x;
}

Tensor atleast_3d(const Tensor& x) {
  return x.dim() < 3 ? atleast_2d(x).unsqueeze(-1) : x;
}

Tensor Tensor::repeat(const Dims& repeats) const {
  check(repeats.size() >= dim(), "repeat: {} has fewer numbers than {} has dimensions", repeats,
        shape());
  const int lead = repeats.size() - dim();
  Shape widened = Dims::filled(lead, 1);
  for (const std::int64_t extent : shape()) widened.push_back(extent);
  Tensor result = reshape(widened);
  for (int i = repeats.size() - 1; i >= 0; --i) {
    check(repeats[i] >= 0, "repeat: {} has a negative number", repeats);
    result = repeat_dim(result, i, repeats[i], /*interleaved=*/false);
  }
  return unshared(result, *this);
}

Tensor Tensor::tile(const Dims& repeats) const {
  Dims all = Dims::filled(std::max(dim() - repeats.size(), 0), 1);
  for (const std::int64_t count : repeats) all.push_back(count);
  return repeat(all);
}

Tensor Tensor::repeat_interleave(std::int64_t repeats, std::optional<std::int64_t> dim) const {
  check(repeats >= 0, "repeat_interleave: {} repeats are not possible", repeats);
  if (!dim) return flatten().repeat_interleave(repeats, 0);
  const int at = normalize_dim("repeat_interleave", *dim, this->dim());
  return unshared(repeat_dim(*this, at, repeats, /*interleaved=*/true), *this);
}

Tensor Tensor::flip(const Dims& dims) const {
  return apply_op<Flip>({*this}, dims);
}

Tensor Tensor::roll(const Dims& shifts, const Dims& dims) const {
  if (dims.empty() && shifts.size() == 1) return flatten().roll(shifts, {0}).reshape(shape());
  check(shifts.size() == dims.size(), "roll: {} shifts for the dimensions {}", shifts, dims);
  Tensor result = *this;
  for (int i = 0; i < dims.size(); ++i) {
    const int dim = normalize_dim("roll", dims[i], this->dim());
    const std::int64_t extent = size(dim);
    const std::int64_t shift = extent == 0 ? 0 : (shifts[i] % extent + extent) % extent;
    if (shift == 0) continue;
    result = cat({result.narrow(dim, extent - shift, shift), result.narrow(dim, 0, extent - shift)},
                 dim);
  }
  return unshared(result, *this);
}

Tensor Tensor::tril(std::int64_t diagonal) const {
  return apply_op<Triangle>({*this}, false, diagonal);
}

Tensor Tensor::triu(std::int64_t diagonal) const {
  return apply_op<Triangle>({*this}, true, diagonal);
}

}  // namespace minidl
