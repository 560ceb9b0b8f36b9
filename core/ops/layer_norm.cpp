#include "minidl/core/ops/layer_norm.h"

#include <limits>

#include "minidl/core/op.h"
#include "minidl/core/ops/gradients.h"
#include "minidl/core/ops/norm_specs.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/layer_norm.h"

namespace minidl {
namespace {

// What there is one of for each row of the first input; the others are parameters of its elements.
TensorSpec row_spec(const char* op, std::span<const TensorSpec> in, const Shape& normalized_shape) {
  const TensorSpec& x = in[0];
  const int row_dims = x.dim() - normalized_shape.size();
  check(!normalized_shape.empty(), "{}: normalized_shape names no dimension", op);
  check(row_dims >= 0 && x.shape.slice(row_dims, x.dim()) == normalized_shape,
        "{}: the last dimensions of an input {} are not {}", op, x.shape, normalized_shape);
  for (const TensorSpec& parameter : in.subspan(1)) {
    check(!parameter.defined ||
              (parameter.shape == normalized_shape && goes_with(x.dtype, parameter.dtype)),
          "{}: an input {}{} needs weight and bias {}{}, not {}{}", op, x.dtype, x.shape,
          accumulation_dtype(x.dtype), normalized_shape, parameter.dtype, parameter.shape);
  }
  return statistic_spec(x, x.shape.slice(0, row_dims));
}

// Inputs: x, weight, bias. Outputs: y, and mean and inverse deviation of each row for backward.
class LayerNorm final : public Op {
 public:
  LayerNorm(const Shape& normalized_shape, double eps)
      : normalized_shape_(normalized_shape), eps_(eps) {}
  const char* name() const override { return "layer_norm"; }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec row = row_spec(name(), in, normalized_shape_);
    return {elementwise_spec(name(), in.first(1)), row, row};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::layer_norm_forward(ctx, in[0], in[1], in[2], eps_, out[0], out[1], out[2]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b011, .outputs = 0b110};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const kernels::View weight = ctx.input_spec(1).defined ? ctx.input(1).view() : kernels::View{};
    Tensors result = empty_gradients(ctx);
    ExecContext exec = context_for(x);
    kernels::layer_norm_backward(exec, grads[0].view(), x.view(), ctx.output(1).view(),
                                 ctx.output(2).view(), weight, view_or_none(result[0]),
                                 view_or_none(result[1]), view_or_none(result[2]));
    return result;
  }

 private:
  Shape normalized_shape_;
  double eps_;
};

// Inputs: x, weight. Outputs: y, and the inverse root of each row's mean square for backward.
class RmsNorm final : public Op {
 public:
  RmsNorm(const Shape& normalized_shape, double eps)
      : normalized_shape_(normalized_shape), eps_(eps) {}
  const char* name() const override { return "rms_norm"; }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec row = row_spec(name(), in, normalized_shape_);
    return {elementwise_spec(name(), in.first(1)), row};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::rms_norm_forward(ctx, in[0], in[1], eps_, out[0], out[1]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b11, .outputs = 0b10};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const kernels::View weight = ctx.input_spec(1).defined ? ctx.input(1).view() : kernels::View{};
    Tensors result = empty_gradients(ctx);
    ExecContext exec = context_for(x);
    kernels::rms_norm_backward(exec, grads[0].view(), x.view(), ctx.output(1).view(), weight,
                               view_or_none(result[0]), view_or_none(result[1]));
    return result;
  }

 private:
  Shape normalized_shape_;
  double eps_;
};

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                  const Tensor& bias, double eps) {
  return apply_op<LayerNorm>({x, weight, bias}, normalized_shape, eps);
}

Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                std::optional<double> eps) {
  const double smallest = x.dtype() == f64 ? std::numeric_limits<double>::epsilon()
                                           : double{std::numeric_limits<float>::epsilon()};
  return apply_op<RmsNorm>({x, weight}, normalized_shape, eps.value_or(smallest));
}

}  // namespace minidl
