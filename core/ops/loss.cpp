#include "minidl/core/ops/loss.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/label_loss.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/loss.h"

namespace minidl {
namespace {

using kernels::LossOp;
using kernels::LossOperand;

// Inputs: input, target.
class PointwiseLoss final : public Op {
 public:
  PointwiseLoss(LossOp op, double threshold) : op_(op), threshold_(threshold) {}
  const char* name() const override { return kernels::name(op_); }
  std::string attributes() const override {
    switch (op_) {
      case LossOp::smooth_l1: return Attributes().add("beta", threshold_, 1).text();
      case LossOp::huber: return Attributes().add("delta", threshold_, 1).text();
      case LossOp::kl_div_log_target: return Attributes().add("log_target", true).text();
      default: return {};
    }
  }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check(minidl::is_floating_point(in[0].dtype),
          "{}: operands of dtype {} have no loss; convert one with .to(dl::f32)", name(),
          in[0].dtype);
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::pointwise_loss(ctx, op_, threshold_, in[0].broadcast_to(out[0].shape),
                            in[1].broadcast_to(out[0].shape), out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 0b11}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result(2);
    for (const int i : {0, 1}) {
      if (ctx.needs_grad(i)) result[static_cast<std::size_t>(i)] = gradient(ctx, grads[0], i);
    }
    return result;
  }

 private:
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int operand) const {
    const std::array specs{ctx.input_spec(operand), ctx.input_spec(1 - operand)};
    const TensorSpec spec = elementwise_spec(name(), specs);
    const Tensor full =
        empty_strided(spec.shape, spec.strides, {.dtype = spec.dtype, .device = spec.device});
    ExecContext exec = context_for(full);
    kernels::pointwise_loss_backward(exec, op_, threshold_,
                                     operand == 0 ? LossOperand::input : LossOperand::target,
                                     grad.view(), ctx.input(0).view().broadcast_to(spec.shape),
                                     ctx.input(1).view().broadcast_to(spec.shape), full.view());
    return sum_to(full, specs[0].shape);
  }

  LossOp op_;
  double threshold_;
};

Tensor pointwise_losses(LossOp op, const Tensor& input, const Tensor& target,
                        double threshold = 1) {
  const DType dtype = promote(input.dtype(), target.dtype());
  return apply_op<PointwiseLoss>({input.to(dtype), target.to(dtype)}, op, threshold);
}

Tensor pointwise_loss(LossOp op, const Tensor& input, const Tensor& target, LossReduction reduction,
                      double threshold = 1) {
  return reduce_losses(kernels::name(op), pointwise_losses(op, input, target, threshold),
                       reduction);
}

// Losses of probabilities: what they are multiplied with must not make more of them.
Tensor weighted_loss(LossOp op, const Tensor& losses, const Tensor& weight,
                     LossReduction reduction) {
  const char* name = kernels::name(op);
  if (!weight.defined()) return reduce_losses(name, losses, reduction);
  check(broadcast_shapes(name, losses.shape(), weight.shape()) == losses.shape(),
        "{}: a weight of shape {} does not stretch to losses {}", name, weight.shape(),
        losses.shape());
  return reduce_losses(name, losses * weight, reduction);
}

void check_same_shape(LossOp op, const Tensor& input, const Tensor& target) {
  check(input.shape() == target.shape(),
        "{}: the target must have the input's shape {}, not {}; reshape or expand it",
        kernels::name(op), input.shape(), target.shape());
}

// Inputs: log_probs, target, weight. Outputs: the losses, and the weights of the targets.
class NllLoss final : public Op {
 public:
  NllLoss(const char* name, const kernels::CrossEntropyParams& params)
      : name_(name), params_(params) {}
  const char* name() const override { return name_; }
  std::string attributes() const override {
    const kernels::CrossEntropyParams usual;
    return Attributes()
        .add("ignore_index", params_.ignore_index, usual.ignore_index)
        .add("label_smoothing", params_.label_smoothing, usual.label_smoothing)
        .text();
  }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const TensorSpec& target = in[1];
    const TensorSpec& weight = in[2];
    Shape shape = x.shape;
    if (shape.size() > 1) shape.erase(1);
    check(
        x.dim() >= 2 && target.shape == shape,
        "{}: an input {} needs classes in dimension 1 and targets of the other dimensions, not {}",
        name_, x.shape, target.shape);
    check(target.dtype == i64, "{}: targets must be i64, not {}; use .to(dl::i64)", name_,
          target.dtype);
    check(!weight.defined || (weight.shape == Shape{x.shape[1]} && weight.dtype == x.dtype),
          "{}: {} classes need a weight {}[{}], not {}{}", name_, x.shape[1], x.dtype, x.shape[1],
          weight.dtype, weight.shape);
    check(params_.label_smoothing >= 0 && params_.label_smoothing <= 1,
          "{}: label smoothing must be between 0 and 1, not {}", name_, params_.label_smoothing);
    const TensorSpec losses = elementwise_spec(name_, in.subspan(1, 1)).with_dtype(x.dtype);
    TensorSpec shares = losses;
    shares.differentiable = false;
    return {losses, shares};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::nll_loss_forward(ctx, name_, params_, in[0], in[1], in[2], out[0], out[1]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 0b110}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const TensorSpec& x = ctx.input_spec(0);
    const Tensor dx = empty_strided(x.shape, strides_like(x.shape, x.strides),
                                    {.dtype = x.dtype, .device = x.device});
    const kernels::View weight = ctx.input_spec(2).defined ? ctx.input(2).view() : kernels::View{};
    ExecContext exec = context_for(dx);
    kernels::nll_loss_backward(exec, params_, grads[0].view(), ctx.input(1).view(), weight,
                               dx.view());
    return {dx, {}, {}};
  }

 private:
  const char* name_;
  kernels::CrossEntropyParams params_;
};

}  // namespace

Tensor reduce_losses(const char* op, const Tensor& losses, LossReduction reduction) {
  switch (reduction) {
    case LossReduction::mean: return losses.mean();
    case LossReduction::sum: return losses.sum();
    case LossReduction::none: return losses;
    case LossReduction::batchmean: break;
  }
  fail("{}: LossReduction::batchmean is kl_div's; use mean, sum or none", op);
}

Tensor label_loss(const char* op, const Tensor& log_probs, const Tensor& target,
                  const NllLossOptions& options, double label_smoothing) {
  const kernels::CrossEntropyParams params{.label_smoothing = label_smoothing,
                                           .ignore_index = options.ignore_index};
  if (log_probs.dim() == 1) {
    check(target.dim() == 0, "{}: an input {} needs one target, a scalar, not {}", op,
          log_probs.shape(), target.shape());
    const Tensor loss =
        label_loss(op, log_probs.unsqueeze(0), target.unsqueeze(0), options, label_smoothing);
    return options.reduction == LossReduction::none ? loss.squeeze(0) : loss;
  }
  const Tensors results =
      apply_op(std::make_shared<const NllLoss>(op, params), {log_probs, target, options.weight});
  if (options.reduction != LossReduction::mean)
    return reduce_losses(op, results[0], options.reduction);
  return results[0].sum() / results[1].sum();
}

Tensor mse_loss(const Tensor& input, const Tensor& target, LossReduction reduction) {
  return pointwise_loss(LossOp::mse, input, target, reduction);
}

Tensor l1_loss(const Tensor& input, const Tensor& target, LossReduction reduction) {
  return pointwise_loss(LossOp::l1, input, target, reduction);
}

Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, LossReduction reduction,
                      double beta) {
  check(beta >= 0, "smooth_l1_loss: beta must not be negative, got {}", beta);
  return pointwise_loss(LossOp::smooth_l1, input, target, reduction, beta);
}

Tensor huber_loss(const Tensor& input, const Tensor& target, LossReduction reduction,
                  double delta) {
  check(delta > 0, "huber_loss: delta must be positive, got {}", delta);
  return pointwise_loss(LossOp::huber, input, target, reduction, delta);
}

Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                            LossReduction reduction) {
  constexpr auto op = LossOp::binary_cross_entropy;
  check_same_shape(op, input, target);
  return weighted_loss(op, pointwise_losses(op, input, target), weight, reduction);
}

Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                        const Tensor& weight, LossReduction reduction,
                                        const Tensor& pos_weight) {
  constexpr auto op = LossOp::binary_cross_entropy_with_logits;
  check_same_shape(op, input, target);
  Tensor losses = pointwise_losses(op, input, target);
  if (pos_weight.defined()) {
    check(broadcast_shapes(kernels::name(op), losses.shape(), pos_weight.shape()) == losses.shape(),
          "{}: a pos_weight of shape {} does not stretch to losses {}", kernels::name(op),
          pos_weight.shape(), losses.shape());
    // The loss of a positive is -log sigmoid(x): y of it is there, (pos_weight - 1) y more is due.
    const Tensor one = affine(target.detach(), 0, 1);
    losses = losses + pointwise_losses(op, input, one) * (target * (pos_weight - 1));
  }
  return weighted_loss(op, losses, weight, reduction);
}

Tensor kl_div(const Tensor& input, const Tensor& target, LossReduction reduction, bool log_target) {
  const LossOp op = log_target ? LossOp::kl_div_log_target : LossOp::kl_div;
  if (reduction != LossReduction::batchmean) return pointwise_loss(op, input, target, reduction);
  check(input.dim() > 0, "kl_div: LossReduction::batchmean needs a first dimension, not a scalar");
  return pointwise_loss(op, input, target, LossReduction::sum) / static_cast<double>(input.size(0));
}

Tensor nll_loss(const Tensor& log_probs, const Tensor& target, const NllLossOptions& options) {
  return label_loss("nll_loss", log_probs, target, options, 0);
}

}  // namespace minidl
