// The methods of Tensor that change elements in place.

#include "minidl/core/ops/inplace.h"

#include <cmath>

#include "minidl/core/copy_elements.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

// Before the version is bumped: what fails has changed nothing.
void check_materialized(const char* op, const Tensor& tensor) {
  if (tensor.storage().released()) {
    fail("{}: the storage behind {} was released: materialize it first", op, describe(tensor));
  }
}

// Numbers that the elements of `target` cannot hold are refused rather than cut.
void check_whole(const char* op, const Tensor& target, double value) {
  check(target.is_floating_point() || value == std::trunc(value), "{}: {} elements cannot take {}",
        op, target.dtype(), value);
}

void add_scaled(const char* op, const Tensor& target, const Tensor& other, double alpha) {
  check(target.is_floating_point() || alpha == std::trunc(alpha),
        "{}: {} elements cannot take {} times another tensor", op, target.dtype(), alpha);
  require_same_device(op, target, other);
  if (!begin_change(op, target, other)) return;
  const NoGradGuard no_grad;
  const Tensor from = unaliased(other.to(target.dtype()), target);
  ExecContext ctx = context_for(target);
  kernels::axpy(ctx, alpha, from.view().broadcast_to(target.shape()), target.view());
}

// target = target `operation` other.
void change(const char* op, kernels::BinaryOp operation, const Tensor& target,
            const Tensor& other) {
  check(target.is_floating_point() || !other.is_floating_point(),
        "{}: {} elements cannot take those of a {} tensor", op, target.dtype(), other.dtype());
  require_same_device(op, target, other);
  if (!begin_change(op, target, other)) return;
  const NoGradGuard no_grad;
  const Tensor from = unaliased(other.to(target.dtype()), target);
  ExecContext ctx = context_for(target);
  kernels::binary(ctx, operation, target.view(), from.view().broadcast_to(target.shape()),
                  target.view());
}

void change(const char* op, const Tensor& target, double alpha, double beta) {
  check_whole(op, target, alpha);
  check_whole(op, target, beta);
  if (!begin_change(op, target)) return;
  ExecContext ctx = context_for(target);
  kernels::affine(ctx, target.view(), alpha, beta, target.view());
}

}  // namespace

// The tape cannot see changes in place, so they are refused where it is recording. Returns whether
// there are elements to change: a fake tensor has none.
bool begin_change(const char* op, const Tensor& target, const Tensor& source,
                  const std::optional<Shape>& written) {
  const bool tracked = target.requires_grad() || (source.defined() && source.requires_grad());
  check(!tracked || !grad_enabled(),
        "{}: autograd would not see this change to a tensor that {}; use the out-of-place form, or "
        "a NoGradGuard if no gradient is wanted",
        op, target.requires_grad() ? "requires a gradient" : "is computed from one that does");
  for (int i = 0; i < target.dim(); ++i) {
    check(target.strides()[i] != 0 || target.size(i) <= 1,
          "{}: elements of a stretched tensor {} share their memory; clone() it first", op,
          target.shape());
  }
  if (source.defined()) {
    const Shape shape = written.value_or(target.shape());
    check(broadcast_shapes(op, shape, source.shape()) == shape, "{}: {} does not stretch to {}", op,
          source.shape(), shape);
    check(target.is_fake() || !source.is_fake(),
          "{}: a tensor with elements cannot take those of a fake one", op);
  }
  if (!target.is_fake()) {
    check_materialized(op, target);
    if (source.defined()) check_materialized(op, source);
  }
  target.storage().bump_version(op);
  return !target.is_fake();
}

void require_same_device(const char* op, const Tensor& target, const Tensor& other) {
  if (other.device() != target.device()) {
    fail("{}: {} cannot be changed by {}; move it with .to(device)", op, describe(target),
         describe(other));
  }
}

Tensor unaliased(const Tensor& source, const Tensor& target) {
  const bool same_elements = source.storage_offset() == target.storage_offset() &&
                             source.shape() == target.shape() &&
                             source.strides() == target.strides();
  return source.storage() == target.storage() && !same_elements ? source.clone() : source;
}

const Tensor& Tensor::zero_() const {
  return fill_(0);
}

const Tensor& Tensor::fill_(double value) const {
  if (!begin_change("fill_", *this)) return *this;
  ExecContext ctx = context_for(*this);
  kernels::fill(ctx, view(), value);
  return *this;
}

const Tensor& Tensor::copy_(const Tensor& source) const {
  if (!begin_change("copy_", *this, source)) return *this;
  const Tensor from = unaliased(source, *this);
  copy_elements(from.view().broadcast_to(shape()), from.device(), view(), device());
  return *this;
}

const Tensor& Tensor::add_(const Tensor& other, double alpha) const {
  add_scaled("add_", *this, other, alpha);
  return *this;
}

const Tensor& Tensor::add_(double value) const {
  change("add_", *this, 1, value);
  return *this;
}

const Tensor& Tensor::sub_(const Tensor& other, double alpha) const {
  add_scaled("sub_", *this, other, -alpha);
  return *this;
}

const Tensor& Tensor::sub_(double value) const {
  change("sub_", *this, 1, -value);
  return *this;
}

const Tensor& Tensor::mul_(const Tensor& other) const {
  change("mul_", kernels::BinaryOp::mul, *this, other);
  return *this;
}

const Tensor& Tensor::mul_(double factor) const {
  change("mul_", *this, factor, 0);
  return *this;
}

const Tensor& Tensor::div_(const Tensor& other) const {
  check(is_floating_point(), "div_: {} tensors do not divide; use .to(dl::f32).div(other)",
        dtype());
  change("div_", kernels::BinaryOp::div, *this, other);
  return *this;
}

const Tensor& Tensor::div_(double divisor) const {
  check(is_floating_point(), "div_: {} tensors do not divide; use .to(dl::f32).div(divisor)",
        dtype());
  change("div_", *this, 1 / divisor, 0);
  return *this;
}

const Tensor& Tensor::clamp_(std::optional<double> min, std::optional<double> max) const {
  check(min || max, "clamp_: neither a minimum nor a maximum was given");
  const auto bound = [this](double value) {
    check_whole("clamp_", *this, value);
    return scalar(value, {.dtype = dtype(), .device = device()});
  };
  if (min) change("clamp_", kernels::BinaryOp::maximum, *this, bound(*min));
  if (max) change("clamp_", kernels::BinaryOp::minimum, *this, bound(*max));
  return *this;
}

const Tensor& Tensor::uniform_(double low, double high) const {
  if (!begin_change("uniform_", *this)) return *this;
  ExecContext ctx = context_for(*this);
  kernels::uniform(ctx, default_generator().next(), low, high, view());
  return *this;
}

const Tensor& Tensor::normal_(double mean, double deviation) const {
  if (!begin_change("normal_", *this)) return *this;
  ExecContext ctx = context_for(*this);
  kernels::normal(ctx, default_generator().next(), mean, deviation, view());
  return *this;
}

}  // namespace minidl
