#include "minidl/core/ops/comparison.h"

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/inplace.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/comparison.h"

namespace minidl {
namespace {

using kernels::CompareOp;
using kernels::NumberClass;

// Results are bool, and have no gradient.
class Predicate : public Op {
 public:
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in).with_dtype(boolean)};
  }
};

class Compare final : public Predicate {
 public:
  explicit Compare(CompareOp op) : op_(op) {}
  const char* name() const override { return kernels::name(op_); }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::compare(ctx, op_, in[0].broadcast_to(out[0].shape), in[1].broadcast_to(out[0].shape),
                     out[0]);
  }

 private:
  CompareOp op_;
};

class CompareNumber final : public Predicate {
 public:
  CompareNumber(CompareOp op, double value) : op_(op), value_(value) {}
  const char* name() const override { return kernels::name(op_); }
  std::string attributes() const override { return Attributes().add("value", value_).text(); }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::compare_number(ctx, op_, in[0], value_, out[0]);
  }

 private:
  CompareOp op_;
  double value_;
};

class Classify final : public Predicate {
 public:
  explicit Classify(NumberClass what) : what_(what) {}
  const char* name() const override { return kernels::name(what_); }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::classify(ctx, what_, in[0], out[0]);
  }

 private:
  NumberClass what_;
};

void check_mask(const char* op, const char* what, const TensorSpec& mask) {
  check(mask.dtype == boolean, "{}: the {} must be bool, not {}; compare it, as in x != 0", op,
        what, mask.dtype);
}

// Zeros take the place of the gradients where the mask is `filled`; the rest is summed back.
Tensor masked_gradient(const Tensor& grad, const Tensor& mask, bool filled, const Shape& shape);

class Where final : public Op {
 public:
  const char* name() const override { return "where"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_mask(name(), "condition", in[0]);
    return {elementwise_spec(name(), in).with_dtype(in[1].dtype)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const Shape& shape = out[0].shape;
    kernels::where(ctx, in[0].broadcast_to(shape), in[1].broadcast_to(shape),
                   in[2].broadcast_to(shape), out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result(3);
    for (int i = 1; i < 3; ++i) {
      if (!ctx.needs_grad(i)) continue;
      result[static_cast<std::size_t>(i)] =
          masked_gradient(grads[0], ctx.input(0), /*filled=*/i == 2, ctx.input_spec(i).shape);
    }
    return result;
  }
};

class MaskedFill final : public Op {
 public:
  MaskedFill(const char* name, bool filled, double value)
      : name_(name), filled_(filled), value_(value) {}
  const char* name() const override { return name_; }
  std::string attributes() const override {
    return Attributes().add(filled_ ? "value" : "value elsewhere", value_).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_mask(name(), "mask", in[1]);
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const Shape& shape = out[0].shape;
    kernels::masked_fill(ctx, in[0].broadcast_to(shape), in[1].broadcast_to(shape), filled_, value_,
                         out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {masked_gradient(grads[0], ctx.input(1), filled_, ctx.input_spec(0).shape), {}};
  }

 private:
  const char* name_;
  bool filled_;  // what the mask is where the value goes
  double value_;
};

Tensor masked_gradient(const Tensor& grad, const Tensor& mask, bool filled, const Shape& shape) {
  return sum_to(apply_op<MaskedFill>({grad, mask}, "masked_fill", filled, 0.0), shape);
}

// The value after rounding to the dtype.
double as_element(DType dtype, double value) {
  return visit_dtype(dtype,
                     [&](auto zero) { return convert<double>(convert<decltype(zero)>(value)); });
}

// Whether a tensor of the dtype holds this number, up to rounding.
bool holds(DType dtype, double value) {
  constexpr double kEnd = 0x1p63;  // conversion to integers saturates, and back may round to that
  return is_floating_point(dtype) || (as_element(dtype, value) == value && value < kEnd);
}

Tensor compare(CompareOp op, const Tensor& a, const Tensor& b) {
  const DType dtype = promote(a.dtype(), b.dtype());
  return apply_op<Compare>({a.to(dtype), b.to(dtype)}, op);
}

Tensor compare(CompareOp op, const Tensor& x, double value) {
  if (!holds(x.dtype(), value)) return apply_op<CompareNumber>({x.to(f64)}, op, value);
  return apply_op<CompareNumber>({x}, op, as_element(x.dtype(), value));
}

// `x` with the value where the condition is `filled`.
Tensor choose(const Tensor& x, const Tensor& condition, bool filled, double value) {
  const Tensor wide = holds(x.dtype(), value) ? x : x.to(f32);
  return apply_op<MaskedFill>({wide, condition}, "where", filled, value);
}

}  // namespace

// clang-format off
Tensor eq(const Tensor& a, const Tensor& b) { return compare(CompareOp::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare(CompareOp::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare(CompareOp::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare(CompareOp::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare(CompareOp::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare(CompareOp::ge, a, b); }
Tensor eq(const Tensor& x, double value) { return compare(CompareOp::eq, x, value); }
Tensor ne(const Tensor& x, double value) { return compare(CompareOp::ne, x, value); }
Tensor lt(const Tensor& x, double value) { return compare(CompareOp::lt, x, value); }
Tensor le(const Tensor& x, double value) { return compare(CompareOp::le, x, value); }
Tensor gt(const Tensor& x, double value) { return compare(CompareOp::gt, x, value); }
Tensor ge(const Tensor& x, double value) { return compare(CompareOp::ge, x, value); }

Tensor logical_and(const Tensor& a, const Tensor& b) { return a.to(boolean) & b.to(boolean); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return a.to(boolean) | b.to(boolean); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return a.to(boolean) ^ b.to(boolean); }
Tensor logical_not(const Tensor& x) { return x == 0; }
// clang-format on

Tensor isnan(const Tensor& x) {
  if (!x.is_floating_point()) return x != x;
  return apply_op<Classify>({x}, NumberClass::nan);
}

Tensor isinf(const Tensor& x) {
  if (!x.is_floating_point()) return x != x;
  return apply_op<Classify>({x}, NumberClass::inf);
}

Tensor isfinite(const Tensor& x) {
  if (!x.is_floating_point()) return x == x;
  return apply_op<Classify>({x}, NumberClass::finite);
}

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  check(rtol >= 0 && atol >= 0, "isclose: tolerances must not be negative, got {} and {}", rtol,
        atol);
  Tensor close = a == b;
  if (equal_nan) close = close | (isnan(a) & isnan(b));
  const DType promoted = promote(a.dtype(), b.dtype());
  const DType dtype = is_floating_point(promoted) ? promote(promoted, f32) : f64;
  const Tensor error = abs(a.to(dtype) - b.to(dtype));
  const Tensor allowed = abs(b.to(dtype)) * rtol + atol;
  return close | (isfinite(error) & (error <= allowed));
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  return all(isclose(a, b, rtol, atol, equal_nan)).item() != 0;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && all(a == b).item() != 0;
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const DType dtype = promote(a.dtype(), b.dtype());
  return apply_op<Where>({condition, a.to(dtype), b.to(dtype)});
}

Tensor where(const Tensor& condition, const Tensor& a, double b) {
  return choose(a, condition, /*filled=*/false, b);
}

Tensor where(const Tensor& condition, double a, const Tensor& b) {
  return choose(b, condition, /*filled=*/true, a);
}

Tensor where(const Tensor& condition, double a, double b) {
  return where(condition, a, where(condition, condition.to(f32), b));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  check(holds(x.dtype(), value), "masked_fill: {} elements cannot be {}; convert with .to(f32)",
        x.dtype(), value);
  return apply_op<MaskedFill>({x, mask}, "masked_fill", /*filled=*/true, value);
}

const Tensor& Tensor::masked_fill_(const Tensor& mask, double value) const {
  constexpr const char* kName = "masked_fill_";
  check(mask.dtype() == boolean, "{}: the mask must be bool, not {}", kName, mask.dtype());
  check(holds(dtype(), value), "{}: {} elements cannot be {}", kName, dtype(), value);
  require_same_device(kName, *this, mask);
  if (!begin_change(kName, *this, mask)) return *this;
  const NoGradGuard no_grad;
  const Tensor where_true = unaliased(mask, *this);
  ExecContext ctx = context_for(*this);
  kernels::masked_fill(ctx, view(), where_true.view().broadcast_to(shape()), /*filled=*/true, value,
                       view());
  return *this;
}

}  // namespace minidl
