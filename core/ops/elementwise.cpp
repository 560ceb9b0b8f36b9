#include "minidl/core/ops/elementwise.h"

#include <array>
#include <utility>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/numbers.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

using kernels::BinaryOp;

// A kernel call outside any op, for backward formulas: never recorded.
Tensor binary_kernel(BinaryOp op, const Tensor& a, const Tensor& b) {
  const std::array specs{spec_of(a), spec_of(b)};
  const TensorSpec out_spec = elementwise_spec("binary", specs);
  Tensor out = empty_strided(out_spec.shape, out_spec.strides,
                             {.dtype = out_spec.dtype, .device = out_spec.device});
  ExecContext ctx = context_for(a);
  kernels::binary(ctx, op, a.view().broadcast_to(out.shape()), b.view().broadcast_to(out.shape()),
                  out.view());
  return out;
}

constexpr Saves kInput{.inputs = 1};

class Affine final : public Op {
 public:
  Affine(double alpha, double beta) : alpha_(alpha), beta_(beta) {}
  const char* name() const override { return "affine"; }
  std::string attributes() const override {
    return Attributes().add("alpha", alpha_, 1).add("beta", beta_, 0).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::affine(ctx, in[0], alpha_, beta_, out[0]);
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    return {affine(grads[0], alpha_, 0)};
  }

 private:
  double alpha_;
  double beta_;
};

class Power final : public Op {
 public:
  explicit Power(double exponent) : exponent_(exponent) {}
  const char* name() const override { return "pow"; }
  std::string attributes() const override { return Attributes().add("exponent", exponent_).text(); }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::power(ctx, in[0], exponent_, out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return kInput; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    if (exponent_ == 0) return {zeros_like(grads[0])};
    return {grads[0] * (pow(ctx.input(0), exponent_ - 1) * exponent_)};
  }

 private:
  double exponent_;
};

// Two operands that broadcast. Derived classes give the gradients before they are summed back.
class Binary : public Op {
 public:
  Binary(const char* name, BinaryOp op) : name_(name), op_(op) {}
  const char* name() const override { return name_; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::binary(ctx, op_, in[0].broadcast_to(out[0].shape), in[1].broadcast_to(out[0].shape),
                    out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result(2);
    for (int i = 0; i < 2; ++i) {
      if (!ctx.needs_grad(i)) continue;
      const Tensor full = gradient(ctx, grads[0], i);
      result[static_cast<std::size_t>(i)] = sum_to(full, ctx.input_spec(i).shape);
    }
    return result;
  }

 protected:
  BinaryOp op() const { return op_; }

 private:
  virtual Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const = 0;

  const char* name_;
  BinaryOp op_;
};

class Add final : public Binary {
 public:
  Add() : Binary("add", BinaryOp::add) {}

 private:
  Tensor gradient(const BackwardContext& /*ctx*/, const Tensor& grad,
                  int /*input*/) const override {
    return grad;
  }
};

class Sub final : public Binary {
 public:
  Sub() : Binary("sub", BinaryOp::sub) {}

 private:
  Tensor gradient(const BackwardContext& /*ctx*/, const Tensor& grad, int input) const override {
    return input == 0 ? grad : neg(grad);
  }
};

class Mul final : public Binary {
 public:
  Mul() : Binary("mul", BinaryOp::mul) {}
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = (needs_grad[0] ? 2u : 0u) | (needs_grad[1] ? 1u : 0u)};
  }

 private:
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const override {
    return grad * ctx.input(1 - input);
  }
};

class Div final : public Binary {
 public:
  Div() : Binary("div", BinaryOp::div) {}
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = 2, .outputs = needs_grad[1] ? 1u : 0u};
  }

 private:
  // d(a / b) = da / b - (a / b) / b * db
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const override {
    const Tensor over_b = grad / ctx.input(1);
    return input == 0 ? over_b : neg(over_b * ctx.output(0));
  }
};

class Extremum final : public Binary {
 public:
  explicit Extremum(bool largest)
      : Binary(largest ? "maximum" : "minimum", largest ? BinaryOp::maximum : BinaryOp::minimum),
        largest_(largest) {}
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 3}; }

 private:
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const override {
    const int winner = largest_ ? input : 1 - input;
    const Tensor lead = ctx.input(winner) - ctx.input(1 - winner);
    return binary_kernel(BinaryOp::select_greater, grad, lead);
  }

  bool largest_;
};

class Remainder final : public Binary {
 public:
  Remainder() : Binary("remainder", BinaryOp::remainder) {}
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = needs_grad[1] ? 3u : 0u};
  }

 private:
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const override {
    return input == 0 ? grad : neg(grad * floor_divide(ctx.input(0), ctx.input(1)));
  }
};

class Pow final : public Binary {
 public:
  Pow() : Binary("pow", BinaryOp::pow) {}
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = 3, .outputs = needs_grad[1] ? 1u : 0u};
  }

 private:
  // d(a ^ b) = b a ^ (b - 1) da + a ^ b log(a) db, without the NaN of 0 times infinity.
  Tensor gradient(const BackwardContext& ctx, const Tensor& grad, int input) const override {
    const Tensor a = ctx.input(0);
    const Tensor b = ctx.input(1);
    if (input == 0) return masked_fill(grad * (b * pow(a, b - 1)), b == 0, 0);
    return masked_fill(grad * (ctx.output(0) * log(a)), (a == 0) & (b >= 0), 0);
  }
};

// Two operands without a gradient.
class Discrete final : public Op {
 public:
  explicit Discrete(BinaryOp op) : op_(op) {}
  const char* name() const override { return kernels::name(op_); }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::binary(ctx, op_, in[0].broadcast_to(out[0].shape), in[1].broadcast_to(out[0].shape),
                    out[0]);
  }

 private:
  BinaryOp op_;
};

Tensor as_floating_point(const Tensor& x) {
  return x.is_floating_point() ? x : x.to(f32);
}

template <class O, class... Args>
Tensor apply_promoted(const Tensor& a, const Tensor& b, Args&&... args) {
  const DType dtype = promote(a.dtype(), b.dtype());
  return apply_op<O>({a.to(dtype), b.to(dtype)}, std::forward<Args>(args)...);
}

}  // namespace

// clang-format off
Tensor add(const Tensor& a, const Tensor& b) { return apply_promoted<Add>(a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return apply_promoted<Sub>(a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply_promoted<Mul>(a, b); }
Tensor remainder(const Tensor& a, const Tensor& b) { return apply_promoted<Remainder>(a, b); }
Tensor pow(const Tensor& a, const Tensor& b) { return apply_promoted<Pow>(a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return apply_promoted<Extremum>(a, b, true); }
Tensor minimum(const Tensor& a, const Tensor& b) { return apply_promoted<Extremum>(a, b, false); }
Tensor pow(const Tensor& x, double exponent) { return apply_op<Power>({x}, exponent); }
// clang-format on

Tensor div(const Tensor& a, const Tensor& b) {
  const DType promoted = promote(a.dtype(), b.dtype());
  const DType dtype = minidl::is_floating_point(promoted) ? promoted : f32;
  return apply_op<Div>({a.to(dtype), b.to(dtype)});
}

Tensor floor_divide(const Tensor& a, const Tensor& b) {
  return apply_promoted<Discrete>(a, b, BinaryOp::floor_divide);
}

Tensor bitwise_and(const Tensor& a, const Tensor& b) {
  return apply_promoted<Discrete>(a, b, BinaryOp::bitwise_and);
}

Tensor bitwise_or(const Tensor& a, const Tensor& b) {
  return apply_promoted<Discrete>(a, b, BinaryOp::bitwise_or);
}

Tensor bitwise_xor(const Tensor& a, const Tensor& b) {
  return apply_promoted<Discrete>(a, b, BinaryOp::bitwise_xor);
}

Tensor affine(const Tensor& x, double alpha, double beta) {
  return apply_op<Affine>({to_hold(x, alpha, beta)}, alpha, beta);
}

Tensor operator/(const Tensor& x, double value) {
  return affine(as_floating_point(x), 1 / value, 0);
}

Tensor operator/(double value, const Tensor& x) {
  return affine(reciprocal(as_floating_point(x)), value, 0);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int lead = x.dim() - shape.size();
  Dims folded;
  for (int i = 0; i < x.dim(); ++i) {
    if (i < lead || (shape[i - lead] == 1 && x.size(i) != 1)) folded.push_back(i);
  }
  return x.sum(folded, /*keepdim=*/true).reshape(shape);
}

}  // namespace minidl
