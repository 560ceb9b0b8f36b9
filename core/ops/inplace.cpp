// The methods of Tensor that change elements in place.

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

// The tape cannot see changes in place, so they are refused where it is recording.
void begin_change(const char* op, const Tensor& target, const Tensor& source = {}) {
  const bool tracked = target.requires_grad() || (source.defined() && source.requires_grad());
  check(!tracked || !grad_enabled(),
        "{}: autograd would not see this change to a tensor that {}; use the out-of-place form, or "
        "a NoGradGuard if no gradient is wanted",
        op, target.requires_grad() ? "requires a gradient" : "is computed from one that does");
  if (source.defined()) {
    check(source.device() == target.device(), "{}: {} cannot be changed by {}", op,
          describe(target), describe(source));
    check(broadcast_shapes(op, target.shape(), source.shape()) == target.shape(),
          "{}: {} does not stretch to {}", op, source.shape(), target.shape());
  }
}

}  // namespace

const Tensor& Tensor::zero_() const {
  return fill_(0);
}

const Tensor& Tensor::fill_(double value) const {
  begin_change("fill_", *this);
  ExecContext ctx = context_for(*this);
  kernels::fill(ctx, view(), value);
  storage().bump_version("fill_");
  return *this;
}

const Tensor& Tensor::copy_(const Tensor& source) const {
  begin_change("copy_", *this, source);
  ExecContext ctx = context_for(*this);
  kernels::copy(ctx, source.view().broadcast_to(shape()), view());
  storage().bump_version("copy_");
  return *this;
}

const Tensor& Tensor::add_(const Tensor& other, double alpha) const {
  begin_change("add_", *this, other);
  const NoGradGuard no_grad;
  ExecContext ctx = context_for(*this);
  kernels::axpy(ctx, alpha, other.to(dtype()).view().broadcast_to(shape()), view());
  storage().bump_version("add_");
  return *this;
}

const Tensor& Tensor::mul_(double factor) const {
  begin_change("mul_", *this);
  ExecContext ctx = context_for(*this);
  kernels::affine(ctx, view(), factor, 0, view());
  storage().bump_version("mul_");
  return *this;
}

const Tensor& Tensor::uniform_(double low, double high) const {
  begin_change("uniform_", *this);
  ExecContext ctx = context_for(*this);
  kernels::uniform(ctx, default_generator().next(), low, high, view());
  storage().bump_version("uniform_");
  return *this;
}

const Tensor& Tensor::normal_(double mean, double deviation) const {
  begin_change("normal_", *this);
  ExecContext ctx = context_for(*this);
  kernels::normal(ctx, default_generator().next(), mean, deviation, view());
  storage().bump_version("normal_");
  return *this;
}

}  // namespace minidl
