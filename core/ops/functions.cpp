#include "minidl/core/ops/functions.h"

#include <cmath>
#include <limits>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/numbers.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

using kernels::Derivative;
using kernels::Parameters;
using kernels::ParametricOp;
using kernels::UnaryOp;

class Unary final : public Op {
 public:
  explicit Unary(UnaryOp op) : op_(op), derivative_(kernels::derivative(op)) {}
  const char* name() const override { return kernels::name(op_); }
  AutocastRule autocast() const override {
    switch (op_) {
      case UnaryOp::exp:
      case UnaryOp::exp2:
      case UnaryOp::expm1:
      case UnaryOp::log:
      case UnaryOp::log2:
      case UnaryOp::log10:
      case UnaryOp::log1p:
      case UnaryOp::reciprocal:
      case UnaryOp::rsqrt: return AutocastRule::full_precision;
      default: return AutocastRule::as_given;
    }
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::unary(ctx, op_, in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = derivative_ == Derivative::of_input ? 1u : 0u,
            .outputs = derivative_ == Derivative::of_output ? 1u : 0u};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    switch (derivative_) {
      case Derivative::of_input: return {gradient(grads[0], ctx.input(0))};
      case Derivative::of_output: return {gradient(grads[0], ctx.output(0))};
      case Derivative::zero: return {zeros_like(grads[0])};
      case Derivative::minus_one: return {neg(grads[0])};
    }
    fail("{}: unknown derivative", name());
  }

 private:
  Tensor gradient(const Tensor& grad, const Tensor& saved) const {
    Tensor out = empty_like(saved);
    ExecContext ctx = context_for(grad);
    kernels::unary_backward(ctx, op_, grad.view(), saved.view(), out.view());
    return out;
  }

  UnaryOp op_;
  Derivative derivative_;
};

class Parametric final : public Op {
 public:
  Parametric(ParametricOp op, const Parameters& parameters) : op_(op), parameters_(parameters) {}
  const char* name() const override { return kernels::name(op_); }
  std::string attributes() const override {
    const double first = parameters_.first;
    const double second = parameters_.second;
    constexpr double kNone = std::numeric_limits<double>::infinity();
    switch (op_) {
      case ParametricOp::clamp:
        return Attributes().add("min", first, -kNone).add("max", second, kNone).text();
      case ParametricOp::hardtanh:
        return Attributes().add("min_val", first).add("max_val", second).text();
      case ParametricOp::leaky_relu: return Attributes().add("negative_slope", first).text();
      case ParametricOp::elu: return Attributes().add("alpha", first).text();
      case ParametricOp::softplus:
        return Attributes().add("beta", first).add("threshold", second).text();
      case ParametricOp::floor_divide:
      case ParametricOp::remainder: return Attributes().add("divisor", first).text();
    }
    fail("{}: unknown operation", name());
  }
  bool differentiable() const override { return op_ != ParametricOp::floor_divide; }
  AutocastRule autocast() const override {
    return op_ == ParametricOp::softplus ? AutocastRule::full_precision : AutocastRule::as_given;
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::parametric(ctx, op_, parameters_, in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = op_ == ParametricOp::remainder ? 0u : 1u};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    if (op_ == ParametricOp::remainder) return {grads[0]};
    const Tensor x = ctx.input(0);
    Tensor out = empty_like(x);
    ExecContext context = context_for(x);
    kernels::parametric_backward(context, op_, parameters_, grads[0].view(), x.view(), out.view());
    return {out};
  }

 private:
  ParametricOp op_;
  Parameters parameters_;
};

Tensor apply(UnaryOp op, const Tensor& x) {
  return apply_op<Unary>({x}, op);
}

Tensor apply(ParametricOp op, const Tensor& x, double first, double second = 0) {
  return apply_op<Parametric>({x}, op, Parameters{first, second});
}

Tensor apply_divisor(ParametricOp op, const Tensor& x, double divisor) {
  check(x.is_floating_point() || divisor != 0, "{}: {} elements cannot be divided by 0",
        kernels::name(op), x.dtype());
  return apply(op, to_hold(x, divisor), divisor);
}

}  // namespace

// clang-format off
Tensor neg(const Tensor& x) { return apply(UnaryOp::neg, x); }
Tensor abs(const Tensor& x) { return apply(UnaryOp::abs, x); }
Tensor sign(const Tensor& x) { return apply(UnaryOp::sign, x); }
Tensor square(const Tensor& x) { return apply(UnaryOp::square, x); }
Tensor reciprocal(const Tensor& x) { return apply(UnaryOp::reciprocal, x); }
Tensor sqrt(const Tensor& x) { return apply(UnaryOp::sqrt, x); }
Tensor rsqrt(const Tensor& x) { return apply(UnaryOp::rsqrt, x); }
Tensor exp(const Tensor& x) { return apply(UnaryOp::exp, x); }
Tensor exp2(const Tensor& x) { return apply(UnaryOp::exp2, x); }
Tensor expm1(const Tensor& x) { return apply(UnaryOp::expm1, x); }
Tensor log(const Tensor& x) { return apply(UnaryOp::log, x); }
Tensor log2(const Tensor& x) { return apply(UnaryOp::log2, x); }
Tensor log10(const Tensor& x) { return apply(UnaryOp::log10, x); }
Tensor log1p(const Tensor& x) { return apply(UnaryOp::log1p, x); }
Tensor sin(const Tensor& x) { return apply(UnaryOp::sin, x); }
Tensor cos(const Tensor& x) { return apply(UnaryOp::cos, x); }
Tensor erf(const Tensor& x) { return apply(UnaryOp::erf, x); }
Tensor floor(const Tensor& x) { return apply(UnaryOp::floor, x); }
Tensor ceil(const Tensor& x) { return apply(UnaryOp::ceil, x); }
Tensor round(const Tensor& x) { return apply(UnaryOp::round, x); }
Tensor trunc(const Tensor& x) { return apply(UnaryOp::trunc, x); }
Tensor bitwise_not(const Tensor& x) { return apply(UnaryOp::bitwise_not, x); }
Tensor relu(const Tensor& x) { return apply(UnaryOp::relu, x); }
Tensor sigmoid(const Tensor& x) { return apply(UnaryOp::sigmoid, x); }
Tensor logsigmoid(const Tensor& x) { return apply(UnaryOp::logsigmoid, x); }
Tensor hardsigmoid(const Tensor& x) { return apply(UnaryOp::hardsigmoid, x); }
Tensor tanh(const Tensor& x) { return apply(UnaryOp::tanh, x); }
Tensor silu(const Tensor& x) { return apply(UnaryOp::silu, x); }
Tensor mish(const Tensor& x) { return apply(UnaryOp::mish, x); }
Tensor hardswish(const Tensor& x) { return apply(UnaryOp::hardswish, x); }
Tensor relu6(const Tensor& x) { return hardtanh(x, 0, 6); }
Tensor clamp_min(const Tensor& x, double min) { return clamp(x, min); }
Tensor clamp_max(const Tensor& x, double max) { return clamp(x, {}, max); }
// clang-format on

Tensor gelu(const Tensor& x, GeluApproximation approximation) {
  return apply(approximation == GeluApproximation::none ? UnaryOp::gelu : UnaryOp::gelu_tanh, x);
}

Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return apply(ParametricOp::leaky_relu, x, negative_slope);
}

Tensor hardtanh(const Tensor& x, double min_val, double max_val) {
  check(min_val < max_val, "hardtanh: min_val must be below max_val, not {} and {}", min_val,
        max_val);
  return apply(ParametricOp::hardtanh, x, min_val, max_val);
}

Tensor softplus(const Tensor& x, double beta, double threshold) {
  return apply(ParametricOp::softplus, x, beta, threshold);
}

Tensor elu(const Tensor& x, double alpha) {
  return apply(ParametricOp::elu, x, alpha);
}

Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max) {
  check(min.has_value() || max.has_value(), "clamp: give min, max or both");
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const double low = min.value_or(-kNone);
  const double high = max.value_or(kNone);
  if (std::isnan(low) || std::isnan(high)) return affine(x, 0, std::nan(""));
  const Tensor operand = to_hold(x, min.value_or(0), max.value_or(0));
  return apply(ParametricOp::clamp, operand, low, high);
}

Tensor floor_divide(const Tensor& x, double divisor) {
  return apply_divisor(ParametricOp::floor_divide, x, divisor);
}

Tensor remainder(const Tensor& x, double divisor) {
  return apply_divisor(ParametricOp::remainder, x, divisor);
}

}  // namespace minidl
