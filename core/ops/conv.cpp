#include "minidl/core/ops/conv.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

class Conv2d final : public Op {
 public:
  explicit Conv2d(const Conv2dParams& params) : params_(params) {}
  const char* name() const override { return "conv2d"; }
  std::string attributes() const override {
    return Attributes()
        .add("stride", params_.stride, {1, 1})
        .add("padding", params_.padding, {0, 0})
        .add("dilation", params_.dilation, {1, 1})
        .add("groups", params_.groups, 1)
        .text();
  }

  AutocastRule autocast() const override { return AutocastRule::low_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const TensorSpec& weight = in[1];
    const TensorSpec& bias = in[2];
    check(x.dim() == 4, "conv2d: the input must be [N, C, H, W], not {}", x.shape);
    check(weight.dim() == 4, "conv2d: the weight must be [K, C / groups, R, S], not {}",
          weight.shape);
    check(weight.dtype == x.dtype && (!bias.defined || bias.dtype == x.dtype),
          "conv2d: the input is {} and the weight {}; convert one with .to(dtype)", x.dtype,
          weight.dtype);
    const std::int64_t groups = params_.groups;
    check(groups > 0 && x.shape[1] % groups == 0 && weight.shape[0] % groups == 0,
          "conv2d: {} groups do not divide {} input and {} output channels", groups, x.shape[1],
          weight.shape[0]);
    check(weight.shape[1] * groups == x.shape[1],
          "conv2d: the input has {} channels, the weight {} wants {}", x.shape[1], weight.shape,
          weight.shape[1] * groups);
    check(!bias.defined || bias.shape == Shape{weight.shape[0]},
          "conv2d: the bias has shape {}, the weight {} output channels", bias.shape,
          weight.shape[0]);
    Shape shape{x.shape[0], weight.shape[0], 0, 0};
    for (int i = 0; i < 2; ++i) shape[i + 2] = output_extent(i, x.shape, weight.shape);
    TensorSpec y = x.with_shape(shape);
    y.strides = channels_last_strides(shape);
    return {y};
  }

  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::conv2d_forward(ctx, params_, in[0], in[1], in[2], out[0]);
  }

  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = (needs_grad[0] ? 2u : 0u) | (needs_grad[1] ? 1u : 0u)};
  }

  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor dy = grads[0].channels_last();
    ExecContext exec = context_for(dy);
    Tensors result(3);
    if (ctx.needs_grad(0)) {
      result[0] = channels_last_like(ctx.input_spec(0));
      kernels::conv2d_backward_input(exec, params_, dy.view(), ctx.input(1).view(),
                                     result[0].view());
    }
    if (ctx.needs_grad(1)) {
      result[1] = channels_last_like(ctx.input_spec(1));
      kernels::conv2d_backward_weight(exec, params_, dy.view(), ctx.input(0).view(),
                                      result[1].view());
    }
    if (ctx.needs_grad(2)) result[2] = dy.sum({0, 2, 3});
    return result;
  }

 private:
  std::int64_t output_extent(int dim, const Shape& x, const Shape& weight) const {
    const auto i = static_cast<std::size_t>(dim);
    const std::int64_t extent = x[dim + 2];
    const std::int64_t kernel = weight[dim + 2];
    check(
        params_.stride[i] > 0 && params_.dilation[i] > 0 && params_.padding[i] >= 0 && kernel > 0,
        "conv2d: stride {}, dilation {} and kernel {} must be positive and padding {} not negative",
        params_.stride[i], params_.dilation[i], kernel, params_.padding[i]);
    const std::int64_t padded = extent + 2 * params_.padding[i];
    const std::int64_t reach = params_.dilation[i] * (kernel - 1) + 1;
    check(padded >= reach,
          "conv2d: a kernel that reaches over {} pixels does not fit an input of {} (padding {})",
          reach, extent, params_.padding[i]);
    return (padded - reach) / params_.stride[i] + 1;
  }

  static Tensor channels_last_like(const TensorSpec& spec) {
    return empty_strided(spec.shape, channels_last_strides(spec.shape),
                         {.dtype = spec.dtype, .device = spec.device});
  }

  Conv2dParams params_;
};

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dParams& params) {
  return apply_op<Conv2d>({x, weight, bias}, params);
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv1dParams& params) {
  check(x.dim() == 3 && weight.dim() == 3,
        "conv1d: the input must be [N, C, L] and the weight [K, C / groups, R], not {} and {}",
        x.shape(), weight.shape());
  const Conv2dParams of_rows{.stride = {1, params.stride},
                             .padding = {0, params.padding},
                             .dilation = {1, params.dilation},
                             .groups = params.groups};
  return conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, of_rows).squeeze(2);
}

}  // namespace minidl
