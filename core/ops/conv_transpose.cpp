#include "minidl/core/ops/conv_transpose.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/conv.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

// Forward and backward of conv2d change places: its input is this op's output. Inputs: x, weight,
// bias.
class ConvTranspose2d final : public Op {
 public:
  explicit ConvTranspose2d(const ConvTranspose2dParams& params) : params_(params) {}
  const char* name() const override { return "conv_transpose2d"; }
  std::string attributes() const override {
    return Attributes()
        .add("stride", params_.stride, {1, 1})
        .add("padding", params_.padding, {0, 0})
        .add("output_padding", params_.output_padding, {0, 0})
        .add("dilation", params_.dilation, {1, 1})
        .add("groups", params_.groups, 1)
        .text();
  }

  AutocastRule autocast() const override { return AutocastRule::low_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const TensorSpec& weight = in[1];
    const TensorSpec& bias = in[2];
    check(x.dim() == 4, "conv_transpose2d: the input must be [N, C, H, W], not {}", x.shape);
    check(weight.dim() == 4, "conv_transpose2d: the weight must be [C, K / groups, R, S], not {}",
          weight.shape);
    check(weight.dtype == x.dtype && (!bias.defined || bias.dtype == x.dtype),
          "conv_transpose2d: the input is {}, the weight {} and the bias {}; convert with "
          ".to(dtype)",
          x.dtype, weight.dtype, bias.defined ? bias.dtype : x.dtype);
    check(weight.shape[0] == x.shape[1],
          "conv_transpose2d: the input has {} channels, the weight {} wants {}", x.shape[1],
          weight.shape, weight.shape[0]);
    check(params_.groups > 0 && x.shape[1] % params_.groups == 0,
          "conv_transpose2d: {} groups do not divide {} input channels", params_.groups,
          x.shape[1]);
    const std::int64_t channels = weight.shape[1] * params_.groups;
    check(!bias.defined || bias.shape == Shape{channels},
          "conv_transpose2d: the bias has shape {}, the output {} channels", bias.shape, channels);
    Shape shape{x.shape[0], channels, 0, 0};
    for (int i = 0; i < 2; ++i) shape[i + 2] = output_extent(i, x.shape, weight.shape);
    TensorSpec y = x.with_shape(shape);
    y.strides = channels_last_strides(shape);
    return {y};
  }

  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::conv2d_backward_input(ctx, conv_params(), in[0], in[1], out[0]);
    if (!in[2].defined) return;
    kernels::View bias = in[2];
    bias.shape = {bias.shape[0], 1, 1};
    bias.strides = {bias.strides[0], 0, 0};
    kernels::axpy(ctx, 1, bias.broadcast_to(out[0].shape), out[0]);
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
      kernels::conv2d_forward(exec, conv_params(), dy.view(), ctx.input(1).view(), {},
                              result[0].view());
    }
    if (ctx.needs_grad(1)) {
      result[1] = channels_last_like(ctx.input_spec(1));
      kernels::conv2d_backward_weight(exec, conv_params(), ctx.input(0).view(), dy.view(),
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
    const std::int64_t stride = params_.stride[i];
    const std::int64_t dilation = params_.dilation[i];
    const std::int64_t more = params_.output_padding[i];
    check(stride > 0 && dilation > 0 && params_.padding[i] >= 0 && kernel > 0,
          "conv_transpose2d: stride {}, dilation {} and kernel {} must be positive and padding {} "
          "not negative",
          stride, dilation, kernel, params_.padding[i]);
    check(more >= 0 && more < stride,
          "conv_transpose2d: output_padding {} must be at least 0 and below the stride of {}", more,
          stride);
    const std::int64_t result =
        (extent - 1) * stride - 2 * params_.padding[i] + dilation * (kernel - 1) + more + 1;
    check(extent > 0 && result > 0,
          "conv_transpose2d: an input of {} pixels gives {} (kernel {}, padding {})", extent,
          result, kernel, params_.padding[i]);
    return result;
  }

  kernels::Conv2dParams conv_params() const {
    return {.stride = params_.stride,
            .padding = params_.padding,
            .dilation = params_.dilation,
            .groups = params_.groups};
  }

  static Tensor channels_last_like(const TensorSpec& spec) {
    return empty_strided(spec.shape, channels_last_strides(spec.shape),
                         {.dtype = spec.dtype, .device = spec.device});
  }

  ConvTranspose2dParams params_;
};

}  // namespace

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dParams& params) {
  return apply_op<ConvTranspose2d>({x, weight, bias}, params);
}

}  // namespace minidl
