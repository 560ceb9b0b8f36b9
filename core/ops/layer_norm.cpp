#include "minidl/core/ops/layer_norm.h"

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/layer_norm.h"

namespace minidl {
namespace {

// Inputs: x, weight, bias. Outputs: y, and mean and inverse deviation of each row for backward.
class LayerNorm final : public Op {
 public:
  LayerNorm(const Shape& normalized_shape, double eps)
      : normalized_shape_(normalized_shape), eps_(eps) {}
  const char* name() const override { return "layer_norm"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const int row_dims = x.dim() - normalized_shape_.size();
    check(!normalized_shape_.empty(), "layer_norm: normalized_shape names no dimension");
    check(row_dims >= 0 && x.shape.slice(row_dims, x.dim()) == normalized_shape_,
          "layer_norm: the last dimensions of an input {} are not {}", x.shape, normalized_shape_);
    for (const TensorSpec& parameter : in.subspan(1)) {
      check(!parameter.defined ||
                (parameter.shape == normalized_shape_ && parameter.dtype == x.dtype),
            "layer_norm: an input {}{} needs weight and bias {}{}, not {}{}", x.dtype, x.shape,
            x.dtype, normalized_shape_, parameter.dtype, parameter.shape);
    }
    TensorSpec row = x.with_shape(x.shape.slice(0, row_dims));
    row.differentiable = false;
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
    Tensors result(3);
    std::array<kernels::View, 3> views;
    for (int i = 0; i < 3; ++i) {
      if (!ctx.needs_grad(i)) continue;
      const auto at = static_cast<std::size_t>(i);
      const TensorSpec& spec = ctx.input_spec(i);
      result[at] = empty_strided(spec.shape, strides_like(spec.shape, spec.strides),
                                 {.dtype = spec.dtype, .device = spec.device});
      views[at] = result[at].view();
    }
    ExecContext exec = context_for(x);
    kernels::layer_norm_backward(exec, grads[0].view(), x.view(), ctx.output(1).view(),
                                 ctx.output(2).view(), weight, views[0], views[1], views[2]);
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

}  // namespace minidl
