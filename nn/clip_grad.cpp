#include "minidl/nn/clip_grad.h"

#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/nn/optim/optimizer.h"

namespace minidl::nn {
namespace {

Tensors gradients_of(const Tensors& parameters) {
  Tensors grads;
  for (const Tensor& parameter : parameters) {
    const Tensor grad = parameter.grad();
    if (grad.defined()) grads.push_back(grad);
  }
  return grads;
}

Tensor norm_of(const Tensor& x, double type) {
  if (type == 2) return optim::detail::l2_norm(x);
  if (x.numel() == 0) return zeros({}, {.dtype = x.dtype(), .device = x.device()});
  if (std::isinf(type)) return abs(x).amax();
  return pow(pow(abs(x), type).sum(), 1 / type);
}

// grad = op(grad, value), in place.
void change(const char* name, kernels::BinaryOp op, const Tensor& grad, const Tensor& value) {
  const Tensor operand = value.to(grad.device()).to(grad.dtype());
  grad.storage().bump_version(name);
  ExecContext ctx = context_for(grad);
  kernels::binary(ctx, op, grad.view(), operand.view().broadcast_to(grad.shape()), grad.view());
}

}  // namespace

Tensor clip_grad_norm_(const Tensors& parameters, double max_norm, double norm_type,
                       bool error_if_nonfinite) {
  check(max_norm >= 0, "clip_grad_norm_: max_norm must not be negative, got {}", max_norm);
  check(norm_type >= 1, "clip_grad_norm_: norm_type must be at least 1, got {}", norm_type);
  const NoGradGuard no_grad;
  const Tensors grads = gradients_of(parameters);
  if (grads.empty()) return zeros({});
  const Device device = grads.front().device();
  Tensors norms;
  for (const Tensor& grad : grads) {
    norms.push_back(norm_of(grad, norm_type).to(device).reshape({1}));
  }
  const Tensor total = norm_of(cat(norms), norm_type);
  if (error_if_nonfinite) {
    const double value = total.item();
    check(std::isfinite(value), "clip_grad_norm_: the norm of the gradients is {}", value);
  }
  const Tensor one = ones({}, {.dtype = total.dtype(), .device = device});
  const Tensor scale = minimum(max_norm / (total + 1e-6), one);
  for (const Tensor& grad : grads) change("clip_grad_norm_", kernels::BinaryOp::mul, grad, scale);
  return total;
}

void clip_grad_value_(const Tensors& parameters, double clip_value) {
  check(clip_value >= 0, "clip_grad_value_: clip_value must not be negative, got {}", clip_value);
  const NoGradGuard no_grad;
  for (const Tensor& grad : gradients_of(parameters)) {
    const TensorOptions like{.dtype = grad.dtype(), .device = grad.device()};
    change("clip_grad_value_", kernels::BinaryOp::minimum, grad, full({}, clip_value, like));
    change("clip_grad_value_", kernels::BinaryOp::maximum, grad, full({}, -clip_value, like));
  }
}

}  // namespace minidl::nn
