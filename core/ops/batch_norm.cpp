#include "minidl/core/ops/batch_norm.h"

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

// Operands of both ops: x, weight, bias, then what each adds.
TensorSpec check_operands(const char* op, std::span<const TensorSpec> in) {
  const TensorSpec& x = in[0];
  check(x.dim() >= 2, "{}: the input must be [N, C, ...], not {}", op, x.shape);
  check(in[1].defined == in[2].defined, "{}: weight and bias come together or not at all", op);
  for (const TensorSpec& operand : in.subspan(1)) {
    if (!operand.defined) continue;
    check(operand.shape == Shape{x.shape[1]} && operand.dtype == x.dtype,
          "{}: an input {}{} needs parameters and statistics {}[{}], not {}{}", op, x.dtype,
          x.shape, x.dtype, x.shape[1], operand.dtype, operand.shape);
  }
  return elementwise_spec(op, in.first(1));
}

void inverse_deviation(ExecContext& ctx, const kernels::View& variance, double eps,
                       const kernels::View& out) {
  kernels::affine(ctx, variance, 1, eps, out);
  kernels::power(ctx, out, -0.5, out);
}

struct ChannelSums {
  Tensor dy;
  Tensor dy_xhat;
};

ChannelSums backward_sums(const Tensor& dy, const Tensor& x, const Tensor& mean,
                          const Tensor& inv_std) {
  ChannelSums sums{empty_like(mean), empty_like(mean)};
  ExecContext exec = context_for(x);
  kernels::batch_norm_backward_reduce(exec, dy.view(), x.view(), mean.view(), inv_std.view(),
                                      sums.dy.view(), sums.dy_xhat.view());
  return sums;
}

kernels::View optional_view(const Tensor& tensor) {
  return tensor.defined() ? tensor.view() : kernels::View{};
}

class BatchNormTraining final : public Op {
 public:
  explicit BatchNormTraining(double eps) : eps_(eps) {}
  const char* name() const override { return "batch_norm"; }
  std::string attributes() const override {
    return Attributes().add("training", true).add("eps", eps_).text();
  }
  // Outputs: y, mean, variance, and the inverse standard deviation for backward.
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec y = check_operands(name(), in);
    TensorSpec channel = in[0].with_shape({in[0].shape[1]});
    channel.differentiable = false;
    return {y, channel, channel, channel};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::batch_norm_stats(ctx, in[0], out[1], out[2]);
    inverse_deviation(ctx, out[2], eps_, out[3]);
    kernels::batch_norm_apply(ctx, in[0], out[1], out[3], in[1], in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 3, .outputs = 10};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const bool affine = ctx.input_spec(1).defined;
    const Tensor weight = affine ? ctx.input(1) : Tensor();
    const Tensor mean = ctx.output(1);
    const Tensor inv_std = ctx.output(3);
    const ChannelSums sums = backward_sums(grads[0], x, mean, inv_std);
    Tensors result(3);
    if (ctx.needs_grad(0)) {
      result[0] = empty_like(x);
      const auto count = static_cast<double>(x.numel()) /
                         static_cast<double>(std::max<std::int64_t>(x.size(1), 1));
      ExecContext exec = context_for(x);
      kernels::batch_norm_backward_apply(exec, grads[0].view(), x.view(), mean.view(),
                                         inv_std.view(), optional_view(weight), sums.dy.view(),
                                         sums.dy_xhat.view(), count, result[0].view());
    }
    if (affine) {
      result[1] = sums.dy_xhat;
      result[2] = sums.dy;
    }
    return result;
  }

 private:
  double eps_;
};

// Inputs: x, weight, bias, mean, variance.
class BatchNormInference final : public Op {
 public:
  explicit BatchNormInference(double eps) : eps_(eps) {}
  const char* name() const override { return "batch_norm"; }
  std::string attributes() const override { return Attributes().add("eps", eps_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    TensorSpec channel = in[0].with_shape({in[0].shape[1]});
    channel.differentiable = false;
    return {check_operands(name(), in), channel};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    inverse_deviation(ctx, in[4], eps_, out[1]);
    kernels::batch_norm_apply(ctx, in[0], in[3], out[1], in[1], in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b01011, .outputs = 2};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const bool affine = ctx.input_spec(1).defined;
    const Tensor inv_std = ctx.output(1);
    Tensors result(5);
    if (ctx.needs_grad(0)) {
      Shape per_channel = Dims::filled(x.dim(), 1);
      per_channel[1] = x.size(1);
      const Tensor scale = affine ? inv_std * ctx.input(1) : inv_std;
      result[0] = grads[0] * scale.reshape(per_channel);
    }
    if (affine && (ctx.needs_grad(1) || ctx.needs_grad(2))) {
      const ChannelSums sums = backward_sums(grads[0], x, ctx.input(3), inv_std);
      result[1] = sums.dy_xhat;
      result[2] = sums.dy;
    }
    return result;
  }

 private:
  double eps_;
};

}  // namespace

BatchNormResult batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    double eps) {
  const Tensors outputs = apply_op(std::make_shared<BatchNormTraining>(eps), {x, weight, bias});
  return {.y = outputs[0], .mean = outputs[1], .variance = outputs[2]};
}

Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight, const Tensor& bias, double eps) {
  return apply_op<BatchNormInference>({x, weight, bias, mean.detach(), variance.detach()}, eps);
}

}  // namespace minidl
