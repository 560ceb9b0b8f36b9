// Reductions of Tensor that are made of others: min and max with their places, var, std, norm.

#include <algorithm>
#include <cmath>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

void require_floating_point(const char* op, const Tensor& x) {
  check(x.is_floating_point(), "{}: {} tensors are not supported; convert with .to(dl::f32) first",
        op, x.dtype());
}

// x^(1/p) with the gradient 0 at 0, where the derivative is infinite: there it is that of
// (x + 1)^(1/p) - 1.
Tensor root(const Tensor& x, double p) {
  const Tensor is_zero = (x == 0).to(x.dtype());
  const Tensor above_zero = x + is_zero;
  return (p == 2 ? sqrt(above_zero) : pow(above_zero, 1 / p)) - is_zero;
}

}  // namespace

Tensor Tensor::max() const {
  return amax();
}

Tensor Tensor::min() const {
  return amin();
}

MaxResult Tensor::max(std::int64_t dim, bool keepdim) const {
  const int at = normalize_dim("max", dim, this->dim());
  return {.values = amax({at}, keepdim), .indices = argmax(at, keepdim)};
}

MaxResult Tensor::min(std::int64_t dim, bool keepdim) const {
  const int at = normalize_dim("min", dim, this->dim());
  return {.values = amin({at}, keepdim), .indices = argmin(at, keepdim)};
}

Tensor Tensor::argmin(std::optional<std::int64_t> dim, bool keepdim) const {
  return minidl::argmin(*this, dim, keepdim);
}

// Two passes: the squares of what is left without the mean lose no digits to it.
Tensor Tensor::var(const Dims& dims, bool unbiased, bool keepdim) const {
  require_floating_point("var", *this);
  const Tensor centre = mean(dims, /*keepdim=*/true);
  const Tensor distance = *this - centre;
  const std::int64_t others = std::max<std::int64_t>(centre.numel(), 1);
  const std::int64_t count = numel() / others - (unbiased ? 1 : 0);
  const Tensor squares = (distance * distance).sum(dims, keepdim);
  return squares / static_cast<double>(std::max<std::int64_t>(count, 0));
}

Tensor Tensor::std(const Dims& dims, bool unbiased, bool keepdim) const {
  require_floating_point("std", *this);
  return minidl::sqrt(var(dims, unbiased, keepdim));
}

Tensor Tensor::norm(double p, const Dims& dims, bool keepdim) const {
  require_floating_point("norm", *this);
  if (p == 2) return root((*this * *this).sum(dims, keepdim), p);
  if (p == 0) return minidl::ne(*this, 0).to(dtype()).sum(dims, keepdim);
  const Tensor size = minidl::abs(*this);
  if (p == 1) return size.sum(dims, keepdim);
  if (p == INFINITY) return size.amax(dims, keepdim);
  if (p == -INFINITY) return size.amin(dims, keepdim);
  return root(minidl::pow(size, p).sum(dims, keepdim), p);
}

}  // namespace minidl
