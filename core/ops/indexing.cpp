#include "minidl/core/ops/indexing.h"

#include <algorithm>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/index_gradients.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/indexing.h"

namespace minidl {
namespace {

using kernels::ScatterOp;
using kernels::View;

// A 1-D index as one of `shape`, the same for every line along `dim`.
View stretched(const View& index, int dim, const Shape& shape) {
  View view = index;
  view.shape = shape;
  view.strides = Dims::filled(shape.size(), 0);
  view.strides[dim] = index.strides[0];
  return view;
}

// The corner of `view` that has `shape`.
View corner(View view, const Shape& shape) {
  view.shape = shape;
  return view;
}

void check_same_rank(const char* op, const TensorSpec& x, const TensorSpec& index) {
  check(index.dim() == x.dim(),
        "{}: the index must have as many dimensions as x: their shapes are {} and {}", op,
        index.shape, x.shape);
}

void check_fits(const char* op, const char* what, const TensorSpec& index, const TensorSpec& other,
                int but) {
  for (int dim = 0; dim < index.dim(); ++dim) {
    check(dim == but || index.shape[dim] <= other.shape[dim],
          "{}: index {} is longer than {} {} in dimension {}", op, index.shape, what, other.shape,
          dim);
  }
}

void check_source(const char* op, const TensorSpec& x, const TensorSpec& source) {
  check(source.dtype == x.dtype, "{}: {} elements do not go into a tensor of {}; use .to(dtype)",
        op, source.dtype, x.dtype);
}

// Inputs: x, index.
class Gather final : public Op {
 public:
  explicit Gather(int dim) : dim_(dim) {}
  const char* name() const override { return "gather"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_same_rank(name(), in[0], in[1]);
    check_fits(name(), "x", in[1], in[0], dim_);
    return {in[0].with_shape(in[1].shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::gather(ctx, name(), in[0], dim_, in[1], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {picked_gradient(ctx.input_spec(0), dim_, ctx.input(1), grads[0]), {}};
  }

 private:
  int dim_;
};

// Inputs: x, index, src.
class Scatter final : public Op {
 public:
  Scatter(ScatterOp how, int dim) : how_(how), dim_(dim) {}
  const char* name() const override {
    return how_ == ScatterOp::assign ? "scatter" : "scatter_add";
  }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_same_rank(name(), in[0], in[1]);
    check(in[2].dim() == in[0].dim(),
          "{}: src must have as many dimensions as x: their shapes are {} and {}", name(),
          in[2].shape, in[0].shape);
    check_fits(name(), "x", in[1], in[0], dim_);
    check_fits(name(), "src", in[1], in[2], -1);
    check_source(name(), in[0], in[2]);
    return {elementwise_spec(name(), in.first(1))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
    kernels::scatter(ctx, name(), how_, dim_, in[1], corner(in[2], in[1].shape), out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor index = ctx.input(1);
    if (how_ == ScatterOp::add) {
      const Tensor dsrc = ctx.needs_grad(2) ? gather(grads[0], dim_, index) : Tensor();
      return {grads[0], {}, padded(dsrc, ctx.input_spec(2))};
    }
    const Tensor dx = ctx.needs_grad(0) ? scatter(grads[0], dim_, index, 0) : Tensor();
    if (!ctx.needs_grad(2)) return {dx, {}, {}};
    return {dx, {}, padded(kept_gradient(index, grads[0]), ctx.input_spec(2))};
  }

 private:
  // What the elements of src contribute that are still there at the end.
  Tensor kept_gradient(const Tensor& index, const Tensor& grad) const {
    const TensorOptions options{.dtype = i64, .device = grad.device()};
    const Tensor number = arange(index.numel(), options).reshape(index.shape());
    const Tensor owner = scatter(zeros(grad.shape(), options), dim_, index, number);
    const Tensor stays = (gather(owner, dim_, index) == number).to(grad.dtype());
    return gather(grad, dim_, index) * stays;
  }

  // Only the corner of src that has the index's shape takes part.
  static Tensor padded(const Tensor& gradient, const TensorSpec& src) {
    if (!gradient.defined() || gradient.shape() == src.shape) return gradient;
    Tensor whole = zeros(src.shape, {.dtype = src.dtype, .device = src.device});
    Tensor target = whole;
    for (int dim = 0; dim < src.dim(); ++dim) target = target.slice(dim, 0, gradient.size(dim));
    target.copy_(gradient);
    return whole;
  }

  ScatterOp how_;
  int dim_;
};

void check_flat(const char* op, const TensorSpec& index) {
  check(index.dim() == 1, "{}: the index must have one dimension, not the shape {}", op,
        index.shape);
}

// Inputs: x, index.
class IndexSelect final : public Op {
 public:
  explicit IndexSelect(int dim) : dim_(dim) {}
  const char* name() const override { return "index_select"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_flat(name(), in[1]);
    Shape shape = in[0].shape;
    shape[dim_] = in[1].shape[0];
    TensorSpec out = in[0].with_shape(shape);
    if (is_dense(in[0].shape, in[0].strides)) {
      out.strides = strides_like(shape, in[0].shape, in[0].strides);
    }
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::gather(ctx, name(), in[0], dim_, stretched(in[1], dim_, out[0].shape), out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Shape lines = Dims::filled(grads[0].dim(), 1);
    lines[dim_] = grads[0].size(dim_);
    const Tensor index = ctx.input(1).reshape(lines).expand(grads[0].shape());
    return {picked_gradient(ctx.input_spec(0), dim_, index, grads[0]), {}};
  }

 private:
  int dim_;
};

// Inputs: x, index, source.
class IndexAdd final : public Op {
 public:
  explicit IndexAdd(int dim) : dim_(dim) {}
  const char* name() const override { return "index_add"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_flat(name(), in[1]);
    Shape expected = in[0].shape;
    expected[dim_] = in[1].shape[0];
    check(in[2].shape == expected, "{}: the source must have the shape {}, not {}", name(),
          expected, in[2].shape);
    check_source(name(), in[0], in[2]);
    return {elementwise_spec(name(), in.first(1))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
    kernels::scatter(ctx, name(), ScatterOp::add, dim_, stretched(in[1], dim_, in[2].shape), in[2],
                     out[0]);
  }
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = needs_grad[2] ? 2u : 0u};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    if (!ctx.needs_grad(2)) return {grads[0], {}, {}};
    return {grads[0], {}, index_select(grads[0], dim_, ctx.input(1))};
  }

 private:
  int dim_;
};

// Input: the labels, as [..., 1].
class OneHot final : public Op {
 public:
  explicit OneHot(std::int64_t classes) : classes_(classes) {}
  const char* name() const override { return "one_hot"; }
  std::string attributes() const override {
    return Attributes().add("num_classes", classes_).text();
  }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape.back() = classes_;
    return {in[0].with_shape(shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::fill(ctx, out[0], 0);
    View labels = in[0];
    labels.strides.back() = 0;  // not a dimension that the user knows
    const Tensor one = ones({}, {.dtype = i64, .device = ctx.device});
    kernels::scatter(ctx, name(), ScatterOp::assign, labels.ndim() - 1, labels,
                     one.view().broadcast_to(labels.shape), out[0]);
  }

 private:
  std::int64_t classes_;
};

Tensor as_index(const char* op, const Tensor& index) {
  check(index.dtype() == i64 || index.dtype() == i32,
        "{}: indices must be i64 or i32, not {}; use .to(dl::i64)", op, index.dtype());
  return index.to(i64);
}

Tensor at_least_1d(const Tensor& x) {
  return x.dim() == 0 ? x.reshape({1}) : x;
}

int dim_of(const char* op, std::int64_t dim, const Tensor& x) {
  return normalize_dim(op, dim, std::max(x.dim(), 1));
}

Tensor scattered(const char* op, ScatterOp how, const Tensor& x, std::int64_t dim,
                 const Tensor& index, const Tensor& src) {
  const Tensor result =
      apply_op<Scatter>({at_least_1d(x), at_least_1d(as_index(op, index)), at_least_1d(src)}, how,
                        dim_of(op, dim, x));
  return x.dim() == 0 ? result.reshape({}) : result;
}

}  // namespace

Tensor picked_gradient(const TensorSpec& x, int dim, const Tensor& index, const Tensor& grad) {
  const Tensor dx = empty_strided(x.shape, strides_like(x.shape, x.strides),
                                  {.dtype = x.dtype, .device = x.device});
  ExecContext ctx = context_for(dx);
  kernels::fill(ctx, dx.view(), 0);
  kernels::scatter(ctx, "scatter_add", ScatterOp::add, dim, index.view(), grad.view(), dx.view());
  return dx;
}

Tensor gather(const Tensor& x, std::int64_t dim, const Tensor& index) {
  const Tensor picked = apply_op<Gather>({at_least_1d(x), at_least_1d(as_index("gather", index))},
                                         dim_of("gather", dim, x));
  return index.dim() == 0 ? picked.reshape({}) : picked;
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<std::int64_t> dim) {
  if (!dim) return gather(x.flatten(), 0, indices.flatten());
  check(x.dim() == indices.dim(),
        "take_along_dim: x and indices must have as many dimensions: their shapes are {} and {}",
        x.shape(), indices.shape());
  if (x.dim() == 0) return gather(x, *dim, indices);
  const int along = dim_of("take_along_dim", *dim, x);
  Shape x_shape = x.shape();
  Shape index_shape = indices.shape();
  x_shape[along] = index_shape[along] = 1;
  x_shape = index_shape = broadcast_shapes("take_along_dim", x_shape, index_shape);
  x_shape[along] = x.size(along);
  index_shape[along] = indices.size(along);
  return gather(x.expand(x_shape), along, indices.expand(index_shape));
}

Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src) {
  return scattered("scatter", ScatterOp::assign, x, dim, index, src);
}

Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, double value) {
  const Tensor src = scalar(value, {.dtype = x.dtype(), .device = x.device()});
  return scatter(x, dim, index, src.expand(index.shape()));
}

Tensor scatter_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src) {
  return scattered("scatter_add", ScatterOp::add, x, dim, index, src);
}

Tensor index_select(const Tensor& x, std::int64_t dim, const Tensor& index) {
  const Tensor picked =
      apply_op<IndexSelect>({at_least_1d(x), at_least_1d(as_index("index_select", index))},
                            dim_of("index_select", dim, x));
  return x.dim() == 0 ? picked.reshape({}) : picked;
}

Tensor index_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& source,
                 double alpha) {
  const Tensor scaled = alpha == 1 ? source : affine(source, alpha, 0);
  const Tensor sum = apply_op<IndexAdd>(
      {at_least_1d(x), at_least_1d(as_index("index_add", index)), at_least_1d(scaled)},
      dim_of("index_add", dim, x));
  return x.dim() == 0 ? sum.reshape({}) : sum;
}

Tensor one_hot(const Tensor& labels, std::int64_t num_classes) {
  check(num_classes >= -1 && num_classes != 0,
        "one_hot: the number of classes is {}; it must be positive, or -1 for the largest label "
        "+ 1",
        num_classes);
  const Tensor index = as_index("one_hot", labels);
  if (num_classes == -1) {
    check(labels.numel() > 0,
          "one_hot: labels of shape {} have no largest one; say how many classes there are",
          labels.shape());
    num_classes = static_cast<std::int64_t>(index.amax().item()) + 1;
  }
  return apply_op<OneHot>({index.unsqueeze(-1)}, num_classes);
}

}  // namespace minidl
