#include "minidl/core/ops/softmax.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/label_loss.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/softmax.h"

namespace minidl {
namespace {

Tensor softmax_gradient(const Tensor& dy, const Tensor& y, int dim, bool log) {
  const Tensor dx = empty_like(y);
  ExecContext exec = context_for(y);
  kernels::softmax_backward(exec, dy.view(), y.view(), dim, log, dx.view());
  return dx;
}

class Softmax final : public Op {
 public:
  Softmax(int dim, bool log) : dim_(dim), log_(log) {}
  const char* name() const override { return log_ ? "log_softmax" : "softmax"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::softmax_forward(ctx, in[0], dim_, log_, out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {softmax_gradient(grads[0], ctx.output(0), dim_, log_)};
  }

 private:
  int dim_;
  bool log_;
};

// Inputs: x, mask.
class MaskedSoftmax final : public Op {
 public:
  explicit MaskedSoftmax(int dim) : dim_(dim) {}
  const char* name() const override { return "masked_softmax"; }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check(in[1].dtype == boolean,
          "masked_softmax: the mask must be bool, not {}; use .to(dl::boolean)", in[1].dtype);
    check(broadcast_shapes(name(), in[0].shape, in[1].shape) == in[0].shape,
          "masked_softmax: a mask of shape {} does not stretch to {}", in[1].shape, in[0].shape);
    return {elementwise_spec(name(), in.first(1))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::masked_softmax_forward(ctx, in[0], in[1].broadcast_to(out[0].shape), dim_, out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {softmax_gradient(grads[0], ctx.output(0), dim_, false), {}};
  }

 private:
  int dim_;
};

class CrossEntropy final : public Op {
 public:
  explicit CrossEntropy(const kernels::CrossEntropyParams& params) : params_(params) {}
  const char* name() const override { return "cross_entropy"; }
  std::string attributes() const override {
    const kernels::CrossEntropyParams usual;
    return Attributes()
        .add("ignore_index", params_.ignore_index, usual.ignore_index)
        .add("label_smoothing", params_.label_smoothing, usual.label_smoothing)
        .text();
  }
  // Output 1 keeps the log-probabilities for backward.
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& logits = in[0];
    const TensorSpec& target = in[1];
    check(logits.dim() == 2 && target.dim() == 1 && target.shape[0] == logits.shape[0],
          "cross_entropy: logits must be [N, C] and targets [N], not {} and {}", logits.shape,
          target.shape);
    check(target.dtype == i64, "cross_entropy: targets must be i64, not {}; use .to(dl::i64)",
          target.dtype);
    check(params_.label_smoothing >= 0 && params_.label_smoothing <= 1,
          "cross_entropy: label smoothing must be between 0 and 1, not {}",
          params_.label_smoothing);
    TensorSpec log_probs = logits.with_shape(logits.shape);
    log_probs.differentiable = false;
    return {logits.with_shape({}), log_probs};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::softmax_forward(ctx, in[0], 1, true, out[1]);
    kernels::cross_entropy_forward(ctx, params_, out[1], in[1], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 2, .outputs = 2};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor log_probs = ctx.output(1);
    const Tensor dlogits = empty_like(log_probs);
    ExecContext exec = context_for(log_probs);
    kernels::cross_entropy_backward(exec, params_, grads[0].view(), log_probs.view(),
                                    ctx.input(1).view(), dlogits.view());
    return {dlogits, {}};
  }

 private:
  kernels::CrossEntropyParams params_;
};

// target and logits: [N, C, ...] or [C].
Tensor cross_entropy_of_probabilities(const Tensor& logits, const Tensor& target,
                                      const CrossEntropyOptions& options) {
  check(target.shape() == logits.shape() && logits.dim() > 0,
        "cross_entropy: logits {} need probabilities of that shape, or targets of dtype i64, not "
        "{} {}",
        logits.shape(), target.dtype(), target.shape());
  const int dim = logits.dim() == 1 ? 0 : 1;
  const std::int64_t classes = logits.size(dim);
  const double share = options.label_smoothing;
  check(share >= 0 && share <= 1, "cross_entropy: label smoothing must be between 0 and 1, not {}",
        share);
  Tensor wanted = neg(target);
  if (share > 0) wanted = affine(wanted, 1 - share, -share / static_cast<double>(classes));
  if (options.weight.defined()) {
    check(options.weight.shape() == Shape{classes},
          "cross_entropy: {} classes need a weight [{}], not {}", classes, classes,
          options.weight.shape());
    Shape along = Dims::filled(logits.dim() - dim, 1);
    along[0] = classes;
    wanted = wanted * options.weight.reshape(along);
  }
  const Tensor losses = (log_softmax(logits, dim) * wanted).sum({dim});
  return reduce_losses("cross_entropy", losses, options.reduction);
}

}  // namespace

Tensor softmax(const Tensor& x, std::int64_t dim) {
  return apply_op<Softmax>({x}, normalize_dim("softmax", dim, x.dim()), false);
}

Tensor masked_softmax(const Tensor& x, const Tensor& mask, std::int64_t dim) {
  return apply_op<MaskedSoftmax>({x, mask}, normalize_dim("masked_softmax", dim, x.dim()));
}

Tensor log_softmax(const Tensor& x, std::int64_t dim) {
  return apply_op<Softmax>({x}, normalize_dim("log_softmax", dim, x.dim()), true);
}

Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                     const CrossEntropyOptions& options) {
  const bool plain = !options.weight.defined() && options.reduction == LossReduction::mean;
  if (target.is_floating_point()) return cross_entropy_of_probabilities(logits, target, options);
  if (logits.dim() == 1 || logits.dim() > 2 || !plain) {
    const Tensor log_probs = log_softmax(logits, logits.dim() == 1 ? 0 : 1);
    return label_loss("cross_entropy", log_probs, target,
                      {.weight = options.weight,
                       .ignore_index = options.ignore_index,
                       .reduction = options.reduction},
                      options.label_smoothing);
  }
  return apply_op<CrossEntropy>(
      {logits, target}, kernels::CrossEntropyParams{.label_smoothing = options.label_smoothing,
                                                    .ignore_index = options.ignore_index});
}

}  // namespace minidl
