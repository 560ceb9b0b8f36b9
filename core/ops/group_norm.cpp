#include "minidl/core/ops/group_norm.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/gradients.h"
#include "minidl/core/ops/norm_specs.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/group_norm.h"

namespace minidl {
namespace {

// Inputs: x, weight, bias. Outputs: y, and mean and inverse deviation of each group for backward.
class GroupNorm final : public Op {
 public:
  GroupNorm(const char* name, std::int64_t groups, double eps)
      : name_(name), groups_(groups), eps_(eps) {}
  const char* name() const override { return name_; }
  std::string attributes() const override { return Attributes().add("groups", groups_).text(); }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const std::int64_t channels = x.shape[1];
    check(groups_ > 0 && channels % groups_ == 0,
          "{}: {} groups do not divide the {} channels of {}", name_, groups_, channels, x.shape);
    for (const TensorSpec& parameter : in.subspan(1)) {
      check(!parameter.defined ||
                (parameter.shape == Shape{channels} && goes_with(x.dtype, parameter.dtype)),
            "{}: an input {}{} needs weight and bias {}[{}], not {}{}", name_, x.dtype, x.shape,
            accumulation_dtype(x.dtype), channels, parameter.dtype, parameter.shape);
    }
    const TensorSpec statistic = statistic_spec(x, {x.shape[0], groups_});
    return {elementwise_spec(name_, in.first(1)), statistic, statistic};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::group_norm_forward(ctx, in[0], in[1], in[2], eps_, out[0], out[1], out[2]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b011, .outputs = 0b110};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const kernels::View weight = ctx.input_spec(1).defined ? ctx.input(1).view() : kernels::View{};
    Tensors result = empty_gradients(ctx);
    ExecContext exec = context_for(x);
    kernels::group_norm_backward(exec, grads[0].view(), x.view(), ctx.output(1).view(),
                                 ctx.output(2).view(), weight, view_or_none(result[0]),
                                 view_or_none(result[1]), view_or_none(result[2]));
    return result;
  }

 private:
  const char* name_;
  std::int64_t groups_;
  double eps_;
};

void check_rank(const char* op, const Tensor& x) {
  check(x.dim() >= 2, "{}: the input must be [N, C, ...], not {}", op, x.shape());
}

}  // namespace

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  check_rank("group_norm", x);
  return apply_op<GroupNorm>({x, weight, bias}, "group_norm", groups, eps);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_rank("instance_norm", x);
  check(x.dim() > 2, "instance_norm: the input must be [N, C, ...] with pixels, not {}", x.shape());
  if (x.size(1) == 0) return group_norm(x, 1, weight, bias, eps);
  return apply_op<GroupNorm>({x, weight, bias}, "instance_norm", x.size(1), eps);
}

}  // namespace minidl
