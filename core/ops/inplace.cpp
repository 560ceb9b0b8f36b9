// The methods of Tensor that change elements in place.

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

// The tape cannot see changes in place, so they are refused where it is recording. Returns whether
// there are elements to change: a fake tensor has none.
bool begin_change(const char* op, const Tensor& target, const Tensor& source = {}) {
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
    check(broadcast_shapes(op, target.shape(), source.shape()) == target.shape(),
          "{}: {} does not stretch to {}", op, source.shape(), target.shape());
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

// What to read from: a copy if writing to `target` would change it on the way.
Tensor unaliased(const Tensor& source, const Tensor& target) {
  const bool same_elements = source.storage_offset() == target.storage_offset() &&
                             source.shape() == target.shape() &&
                             source.strides() == target.strides();
  return source.storage() == target.storage() && !same_elements ? source.clone() : source;
}

}  // namespace

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
  check(is_floating_point() || alpha == std::trunc(alpha),
        "add_: {} elements cannot take {} times another tensor", dtype(), alpha);
  if (other.device() != device()) {
    fail("add_: {} cannot be changed by {}; move it with .to(device)", describe(*this),
         describe(other));
  }
  if (!begin_change("add_", *this, other)) return *this;
  const NoGradGuard no_grad;
  const Tensor from = unaliased(other.to(dtype()), *this);
  ExecContext ctx = context_for(*this);
  kernels::axpy(ctx, alpha, from.view().broadcast_to(shape()), view());
  return *this;
}

const Tensor& Tensor::mul_(double factor) const {
  if (!begin_change("mul_", *this)) return *this;
  ExecContext ctx = context_for(*this);
  kernels::affine(ctx, view(), factor, 0, view());
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
