// The reductions of Tensor: sum, mean, amax, amin, argmax.

#include "minidl/kernels/reduce.h"

#include <algorithm>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

using kernels::ReduceOp;

const char* name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum: return "sum";
    case ReduceOp::mean: return "mean";
    case ReduceOp::max: return "amax";
    case ReduceOp::min: return "amin";
  }
  return "reduce";
}

// The shape with extent 1 in every folded dimension.
Shape folded_shape(const char* op, const Shape& shape, const Dims& dims) {
  if (dims.empty()) return Dims::filled(shape.size(), 1);
  Shape folded = shape;
  Dims seen = Dims::filled(shape.size(), 0);
  for (const std::int64_t entry : dims) {
    const int dim = normalize_dim(op, entry, shape.size());
    check(seen[dim]++ == 0, "{}: dimension {} is named twice", op, dim);
    folded[dim] = 1;
  }
  return folded;
}

class Reduce final : public Op {
 public:
  Reduce(ReduceOp op, const Dims& dims) : op_(op), dims_(dims) {}
  const char* name() const override { return name_of(op_); }
  std::string attributes() const override {
    return Attributes().add("dim", dims_, {}).add("keepdim", true).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const Shape shape = folded_shape(name(), in[0].shape, dims_);
    const bool extremum = op_ == ReduceOp::max || op_ == ReduceOp::min;
    check(!extremum || in[0].numel() > 0 || numel(shape) == 0,
          "{}: an empty tensor of shape {} has no extremum", name(), in[0].shape);
    TensorSpec out = in[0].with_shape(shape);
    if (is_dense(in[0].shape, in[0].strides)) out.strides = strides_like(shape, in[0].strides);
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::reduce(ctx, op_, in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    const bool additive = op_ == ReduceOp::sum || op_ == ReduceOp::mean;
    return additive ? Saves{} : Saves{.inputs = 1, .outputs = 1};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Shape& shape = ctx.input_spec(0).shape;
    switch (op_) {
      case ReduceOp::sum: return {grads[0].expand(shape)};
      case ReduceOp::mean: {
        const auto folded = static_cast<double>(numel(shape)) /
                            static_cast<double>(std::max<std::int64_t>(grads[0].numel(), 1));
        return {(grads[0] / folded).expand(shape)};
      }
      case ReduceOp::max:
      case ReduceOp::min: return {extremum_gradient(ctx, grads[0])};
    }
    fail("{}: unknown reduction", name());
  }

 private:
  // Elements that are equal to the extremum share its gradient evenly.
  Tensor extremum_gradient(const BackwardContext& ctx, const Tensor& grad) const {
    const Tensor hits = equal(ctx.input(0), ctx.output(0));
    const Tensor count = sum_to(hits, grad.shape());
    return hits * (grad / count);
  }

  ReduceOp op_;
  Dims dims_;
};

class Argmax final : public Op {
 public:
  explicit Argmax(int dim) : dim_(dim) {}
  const char* name() const override { return "argmax"; }
  std::string attributes() const override {
    return Attributes().add("dim", dim_).add("keepdim", true).text();
  }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape[dim_] = 1;
    check(in[0].shape[dim_] > 0 || numel(shape) == 0, "argmax: dimension {} of shape {} is empty",
          dim_, in[0].shape);
    return {in[0].with_shape(shape).with_dtype(i64)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::argmax(ctx, in[0], dim_, out[0]);
  }

 private:
  int dim_;
};

Tensor reduce(ReduceOp op, const Tensor& x, const Dims& dims, bool keepdim) {
  Tensor result = apply_op<Reduce>({x}, op, dims);
  if (keepdim) return result;
  Shape squeezed;
  const Dims folded = folded_shape(name_of(op), Dims::filled(x.dim(), 2), dims);
  for (int i = 0; i < x.dim(); ++i) {
    if (folded[i] != 1) squeezed.push_back(x.size(i));
  }
  return result.reshape(squeezed);
}

}  // namespace

Tensor Tensor::sum(const Dims& dims, bool keepdim) const {
  return reduce(ReduceOp::sum, *this, dims, keepdim);
}
Tensor Tensor::mean(const Dims& dims, bool keepdim) const {
  return reduce(ReduceOp::mean, *this, dims, keepdim);
}
Tensor Tensor::amax(const Dims& dims, bool keepdim) const {
  return reduce(ReduceOp::max, *this, dims, keepdim);
}
Tensor Tensor::amin(const Dims& dims, bool keepdim) const {
  return reduce(ReduceOp::min, *this, dims, keepdim);
}

Tensor Tensor::argmax(std::optional<std::int64_t> dim, bool keepdim) const {
  if (!dim) {
    const Tensor position = flatten().argmax(0);
    return keepdim ? position.reshape(Dims::filled(this->dim(), 1)) : position;
  }
  const int at = normalize_dim("argmax", *dim, this->dim());
  const Tensor result = apply_op<Argmax>({*this}, at);
  return keepdim ? result : result.squeeze(at);
}

}  // namespace minidl
