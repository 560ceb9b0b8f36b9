#include "minidl/core/ops/matmul.h"

#include <utility>

#include "minidl/core/op.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/matmul.h"

namespace minidl {
namespace {

void check_dtypes(const char* op, std::span<const TensorSpec> in) {
  for (const TensorSpec& spec : in) {
    check(!spec.defined || spec.dtype == in[0].dtype,
          "{}: operands are {} and {}; convert one with .to(dtype)", op, in[0].dtype, spec.dtype);
  }
}

// [M, K] x [K, N], or [B, M, K] x [B, K, N].
class Matmul final : public Op {
 public:
  const char* name() const override { return "matmul"; }
  AutocastRule autocast() const override { return AutocastRule::low_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_dtypes(name(), in);
    const int rank = in[0].dim();
    check(in[0].shape[rank - 1] == in[1].shape[rank - 2],
          "matmul: the inner extents of {} and {} differ", in[0].shape, in[1].shape);
    Shape shape = in[0].shape;
    shape.back() = in[1].shape.back();
    return {in[0].with_shape(shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::matmul(ctx, in[0], in[1], {}, out[0]);
  }
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = (needs_grad[0] ? 2u : 0u) | (needs_grad[1] ? 1u : 0u)};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result(2);
    if (ctx.needs_grad(0)) result[0] = matmul(grads[0], ctx.input(1).transpose(-2, -1));
    if (ctx.needs_grad(1)) result[1] = matmul(ctx.input(0).transpose(-2, -1), grads[0]);
    return result;
  }
};

// x [rows, in], weight [out, in], bias [out] or undefined.
class Linear final : public Op {
 public:
  const char* name() const override { return "linear"; }
  AutocastRule autocast() const override { return AutocastRule::low_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    check_dtypes(name(), in);
    check(in[1].dim() == 2 && in[0].shape[1] == in[1].shape[1],
          "linear: an input with {} features does not fit a weight of shape {}", in[0].shape[1],
          in[1].shape);
    check(!in[2].defined || in[2].shape == Shape{in[1].shape[0]},
          "linear: the bias has shape {}, the weight {}", in[2].shape, in[1].shape);
    return {in[0].with_shape({in[0].shape[0], in[1].shape[0]})};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::View transposed = in[1];
    std::swap(transposed.shape[0], transposed.shape[1]);
    std::swap(transposed.strides[0], transposed.strides[1]);
    kernels::matmul(ctx, in[0], transposed, in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = (needs_grad[0] ? 2u : 0u) | (needs_grad[1] ? 1u : 0u)};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result(3);
    if (ctx.needs_grad(0)) result[0] = matmul(grads[0], ctx.input(1));
    if (ctx.needs_grad(1)) result[1] = matmul(grads[0].t(), ctx.input(0));
    if (ctx.needs_grad(2)) result[2] = grads[0].sum({0});
    return result;
  }
};

// Leading dimensions stretched to `batch` and folded into one.
Tensor as_batch(const Tensor& x, const Shape& batch) {
  Shape full = batch;
  full.push_back(x.size(-2));
  full.push_back(x.size(-1));
  return x.expand(full).reshape({numel(batch), x.size(-2), x.size(-1)});
}

Shape leading(const Tensor& x) {
  Shape shape = x.shape();
  shape.erase(shape.size() - 1);
  shape.erase(shape.size() - 1);
  return shape;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  check(a.dim() > 0 && b.dim() > 0, "matmul: operands of shape {} and {} are not matrices",
        a.shape(), b.shape());
  if (a.dim() == 1) return matmul(a.unsqueeze(0), b).squeeze(b.dim() == 1 ? 0 : -2);
  if (b.dim() == 1) return matmul(a, b.unsqueeze(1)).squeeze(-1);
  if (a.dim() == 2 && b.dim() == 2) return apply_op<Matmul>({a, b});
  if (b.dim() == 2) {  // one product with more rows beats a batch of small ones
    Shape shape = a.shape();
    shape.back() = b.size(1);
    return matmul(a.reshape({numel(leading(a)) * a.size(-2), a.size(-1)}), b).reshape(shape);
  }
  Shape batch = broadcast_shapes("matmul", leading(a), leading(b));
  const Tensor product = apply_op<Matmul>({as_batch(a, batch), as_batch(b, batch)});
  batch.push_back(a.size(-2));
  batch.push_back(b.size(-1));
  return product.reshape(batch);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.dim() > 0, "linear: the input is a scalar");
  if (x.dim() == 2) return apply_op<Linear>({x, weight, bias});
  Shape shape = x.shape();
  shape.erase(shape.size() - 1);
  const Tensor rows = x.reshape({numel(shape), x.size(-1)});
  const Tensor y = apply_op<Linear>({rows, weight, bias});
  shape.push_back(y.size(1));
  return y.reshape(shape);
}

}  // namespace minidl
