#include "minidl/core/ops/elementwise.h"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

using kernels::BinaryOp;
using kernels::UnaryOp;

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

struct UnaryTraits {
  const char* name;
  Saves saves;
  Tensor (*backward)(const BackwardContext& ctx, const Tensor& grad);
};

constexpr Saves kNothing{};
constexpr Saves kInput{.inputs = 1};
constexpr Saves kOutput{.outputs = 1};

const UnaryTraits& traits_of(UnaryOp op) {
  using Ctx = const BackwardContext&;
  using Grad = const Tensor&;
  static const std::array<UnaryTraits, 11> table{{
      {"neg", kNothing, [](Ctx, Grad g) { return neg(g); }},
      {"abs", kInput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::abs_backward, g, c.input(0)); }},
      {"exp", kOutput, [](Ctx c, Grad g) { return g * c.output(0); }},
      {"log", kInput, [](Ctx c, Grad g) { return g / c.input(0); }},
      {"sqrt", kOutput, [](Ctx c, Grad g) { return g / (2 * c.output(0)); }},
      {"relu", kOutput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::relu_backward, g, c.output(0)); }},
      {"sigmoid", kOutput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::sigmoid_backward, g, c.output(0)); }},
      {"tanh", kOutput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::tanh_backward, g, c.output(0)); }},
      {"erf", kInput,
       [](Ctx c, Grad g) {
         const Tensor x = c.input(0);
         return g * exp(neg(x * x)) * (2 * std::numbers::inv_sqrtpi);
       }},
      {"gelu", kInput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::gelu_backward, g, c.input(0)); }},
      {"gelu_tanh", kInput,
       [](Ctx c, Grad g) { return binary_kernel(BinaryOp::gelu_tanh_backward, g, c.input(0)); }},
  }};
  return table[static_cast<std::size_t>(op)];
}

class Unary final : public Op {
 public:
  explicit Unary(UnaryOp op) : op_(op), traits_(traits_of(op)) {}
  const char* name() const override { return traits_.name; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::unary(ctx, op_, in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return traits_.saves; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {traits_.backward(ctx, grads[0])};
  }

 private:
  UnaryOp op_;
  const UnaryTraits& traits_;
};

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
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check(minidl::is_floating_point(in[0].dtype),
          "div: {} tensors do not divide; convert with .to(dl::f32) first", in[0].dtype);
    return Binary::infer(in);
  }
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

class Equal final : public Op {
 public:
  const char* name() const override { return "equal"; }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::binary(ctx, BinaryOp::equal, in[0].broadcast_to(out[0].shape),
                    in[1].broadcast_to(out[0].shape), out[0]);
  }
};

bool is_whole(double value) {
  return value == std::trunc(value);
}

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
Tensor div(const Tensor& a, const Tensor& b) { return apply_promoted<Div>(a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return apply_promoted<Extremum>(a, b, true); }
Tensor minimum(const Tensor& a, const Tensor& b) { return apply_promoted<Extremum>(a, b, false); }
Tensor equal(const Tensor& a, const Tensor& b) { return apply_promoted<Equal>(a, b); }

Tensor neg(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::neg); }
Tensor abs(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::abs); }
Tensor exp(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::exp); }
Tensor log(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::log); }
Tensor sqrt(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::sqrt); }
Tensor relu(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::relu); }
Tensor sigmoid(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::sigmoid); }
Tensor tanh(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::tanh); }
Tensor erf(const Tensor& x) { return apply_op<Unary>({x}, UnaryOp::erf); }
Tensor pow(const Tensor& x, double exponent) { return apply_op<Power>({x}, exponent); }
// clang-format on

Tensor gelu(const Tensor& x, GeluApproximation approximation) {
  const bool exact = approximation == GeluApproximation::none;
  return apply_op<Unary>({x}, exact ? UnaryOp::gelu : UnaryOp::gelu_tanh);
}

Tensor affine(const Tensor& x, double alpha, double beta) {
  const bool exact = x.is_floating_point() || (is_whole(alpha) && is_whole(beta));
  return apply_op<Affine>({exact ? x : x.to(f32)}, alpha, beta);
}

Tensor operator/(const Tensor& x, double value) {
  return affine(as_floating_point(x), 1 / value, 0);
}

Tensor operator/(double value, const Tensor& x) {
  return affine(pow(as_floating_point(x), -1), value, 0);
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
