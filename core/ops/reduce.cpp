#include "minidl/core/ops/reduce.h"

#include <algorithm>
#include <limits>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/reduce.h"
#include "minidl/kernels/scan.h"

namespace minidl {
namespace {

using kernels::BinaryOp;
using kernels::ReduceOp;
using kernels::UnaryOp;
using kernels::View;

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
  AutocastRule autocast() const override {
    return op_ == ReduceOp::sum ? AutocastRule::full_precision : AutocastRule::as_given;
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
    const Tensor hits = eq(ctx.input(0), ctx.output(0)).to(grad.dtype());
    const Tensor count = sum_to(hits, grad.shape());
    return hits * (grad / count);
  }

  ReduceOp op_;
  Dims dims_;
};

// Argmax or argmin.
class ArgExtreme final : public Op {
 public:
  ArgExtreme(bool largest, int dim) : largest_(largest), dim_(dim) {}
  const char* name() const override { return largest_ ? "argmax" : "argmin"; }
  std::string attributes() const override {
    return Attributes().add("dim", dim_).add("keepdim", true).text();
  }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape[dim_] = 1;
    check(in[0].shape[dim_] > 0 || numel(shape) == 0, "{}: dimension {} of shape {} is empty",
          name(), dim_, in[0].shape);
    return {in[0].with_shape(shape).with_dtype(i64)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const auto& kernel = largest_ ? kernels::argmax : kernels::argmin;
    kernel(ctx, in[0], dim_, out[0]);
  }

 private:
  bool largest_;
  int dim_;
};

// Any or all.
class ReduceBool final : public Op {
 public:
  ReduceBool(bool all, const Dims& dims) : all_(all), dims_(dims) {}
  const char* name() const override { return all_ ? "all" : "any"; }
  std::string attributes() const override {
    return Attributes().add("dim", dims_, {}).add("keepdim", true).text();
  }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {in[0].with_shape(folded_shape(name(), in[0].shape, dims_))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const auto& kernel = all_ ? kernels::all : kernels::any;
    kernel(ctx, in[0], out[0]);
  }

 private:
  bool all_;
  Dims dims_;
};

class Prod final : public Op {
 public:
  explicit Prod(int dim) : dim_(dim) {}
  const char* name() const override { return "prod"; }
  std::string attributes() const override {
    return Attributes().add("dim", dim_).add("keepdim", true).text();
  }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape[dim_] = 1;
    return {in[0].with_shape(shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::prod(ctx, in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 1}; }
  // That of the last of the running products.
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const Tensor dx = empty_like(x);
    if (x.numel() == 0) return {dx};
    const Tensor dy = zeros_like(x);
    dy.slice(dim_, x.size(dim_) - 1, x.size(dim_)).copy_(grads[0]);
    ExecContext exec = context_for(x);
    kernels::cumprod_backward(exec, dy.view(), x.view(), dim_, dx.view());
    return {dx};
  }

 private:
  int dim_;
};

// Subtracts the largest element, or, if that is infinite, the largest finite number in its place.
class LogSumExp final : public Op {
 public:
  explicit LogSumExp(const Dims& dims) : dims_(dims) {}
  const char* name() const override { return "logsumexp"; }
  std::string attributes() const override {
    return Attributes().add("dim", dims_, {}).add("keepdim", true).text();
  }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {in[0].with_shape(folded_shape(name(), in[0].shape, dims_))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const View& x = in[0];
    const View& y = out[0];
    if (x.numel() == 0) return kernels::fill(ctx, y, -std::numeric_limits<double>::infinity());
    const Tensor largest = make(ctx, y.dtype, y.shape, y.strides);
    const Tensor powers = make(ctx, x.dtype, x.shape, strides_like(x.shape, x.strides));
    kernels::reduce(ctx, ReduceOp::max, x, largest.view());
    bound(ctx, BinaryOp::maximum, -limit(x.dtype), largest.view());
    bound(ctx, BinaryOp::minimum, limit(x.dtype), largest.view());
    const View shift = largest.view().broadcast_to(x.shape);
    kernels::binary(ctx, BinaryOp::sub, x, shift, powers.view());
    kernels::unary(ctx, UnaryOp::exp, powers.view(), powers.view());
    kernels::reduce(ctx, ReduceOp::sum, powers.view(), y);
    kernels::unary(ctx, UnaryOp::log, y, y);
    kernels::binary(ctx, BinaryOp::add, y, largest.view(), y);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 1, .outputs = 1};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const Tensor y = ctx.output(0);
    const Tensor lowest = full({}, -limit(x.dtype()), {.dtype = x.dtype(), .device = x.device()});
    return {exp(x - maximum(y, lowest)) * grads[0]};
  }

 private:
  static double limit(DType dtype) {
    return dtype == f64 ? std::numeric_limits<double>::max()
                        : double{std::numeric_limits<float>::max()};
  }
  static Tensor make(const ExecContext& ctx, DType dtype, const Shape& shape,
                     const Strides& strides) {
    return empty_strided(shape, strides, {.dtype = dtype, .device = ctx.device})
        .set_memory_tag(MemoryTag::workspace);
  }
  static void bound(ExecContext& ctx, BinaryOp op, double value, const View& view) {
    const Tensor border = full({}, value, {.dtype = view.dtype, .device = ctx.device});
    kernels::binary(ctx, op, view, border.view().broadcast_to(view.shape), view);
  }

  Dims dims_;
};

Tensor squeezed(const char* name, const Tensor& folded, const Dims& dims) {
  const Dims kept = folded_shape(name, Dims::filled(folded.dim(), 2), dims);
  Shape shape;
  for (int i = 0; i < folded.dim(); ++i) {
    if (kept[i] != 1) shape.push_back(folded.size(i));
  }
  return folded.reshape(shape);
}

Tensor reduce(ReduceOp op, const Tensor& x, const Dims& dims, bool keepdim) {
  const Tensor result = apply_op<Reduce>({x}, op, dims);
  return keepdim ? result : squeezed(name_of(op), result, dims);
}

Tensor reduce_bool(bool all, const Tensor& x, const Dims& dims, bool keepdim) {
  const Tensor result = apply_op<ReduceBool>({x.to(boolean)}, all, dims);
  return keepdim ? result : squeezed(all ? "all" : "any", result, dims);
}

// Along `dim`, or without it along all of x.
template <class Run>
Tensor along(const char* name, const Tensor& x, std::optional<std::int64_t> dim, bool keepdim,
             const Run& run) {
  if (!dim || x.dim() == 0) {
    if (dim) normalize_dim(name, *dim, 1);
    return run(x.reshape({-1}), 0).reshape(keepdim ? Dims::filled(x.dim(), 1) : Shape{});
  }
  const int at = normalize_dim(name, *dim, x.dim());
  const Tensor result = run(x, at);
  return keepdim ? result : result.squeeze(at);
}

}  // namespace

Tensor argmin(const Tensor& x, std::optional<std::int64_t> dim, bool keepdim) {
  return along("argmin", x, dim, keepdim, [](const Tensor& numbers, int at) {
    return apply_op<ArgExtreme>({numbers}, /*largest=*/false, at);
  });
}

Tensor any(const Tensor& x, const Dims& dims, bool keepdim) {
  return reduce_bool(/*all=*/false, x, dims, keepdim);
}

Tensor all(const Tensor& x, const Dims& dims, bool keepdim) {
  return reduce_bool(/*all=*/true, x, dims, keepdim);
}

Tensor prod(const Tensor& x, std::optional<std::int64_t> dim, bool keepdim) {
  return along("prod", x.is_floating_point() ? x : x.to(i64), dim, keepdim,
               [](const Tensor& numbers, int at) { return apply_op<Prod>({numbers}, at); });
}

Tensor logsumexp(const Tensor& x, const Dims& dims, bool keepdim) {
  const Tensor result = apply_op<LogSumExp>({x.is_floating_point() ? x : x.to(f32)}, dims);
  return keepdim ? result : squeezed("logsumexp", result, dims);
}

Tensor Tensor::sum(const Dims& dims, bool keepdim) const {
  const Tensor x = dtype() == boolean ? to(i64) : *this;  // to count
  return reduce(ReduceOp::sum, x, dims, keepdim);
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
  const Tensor result = apply_op<ArgExtreme>({*this}, /*largest=*/true, at);
  return keepdim ? result : result.squeeze(at);
}

}  // namespace minidl
