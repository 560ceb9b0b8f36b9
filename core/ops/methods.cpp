// The methods of Tensor that are functions elsewhere.

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/softmax.h"

namespace minidl {
namespace {

Tensor scaled(const Tensor& x, double factor) {
  return factor == 1 ? x : x * factor;
}

}  // namespace

Tensor Tensor::add(const Tensor& other, double alpha) const {
  return minidl::add(*this, scaled(other, alpha));
}
Tensor Tensor::add(double value) const {
  return *this + value;
}
Tensor Tensor::sub(const Tensor& other, double alpha) const {
  return minidl::sub(*this, scaled(other, alpha));
}
Tensor Tensor::sub(double value) const {
  return *this - value;
}
Tensor Tensor::mul(const Tensor& other) const {
  return minidl::mul(*this, other);
}
Tensor Tensor::mul(double factor) const {
  return *this * factor;
}
Tensor Tensor::div(const Tensor& other) const {
  return minidl::div(*this, other);
}
Tensor Tensor::div(double divisor) const {
  return *this / divisor;
}
Tensor Tensor::neg() const {
  return minidl::neg(*this);
}
Tensor Tensor::abs() const {
  return minidl::abs(*this);
}
Tensor Tensor::exp() const {
  return minidl::exp(*this);
}
Tensor Tensor::log() const {
  return minidl::log(*this);
}
Tensor Tensor::sqrt() const {
  return minidl::sqrt(*this);
}
Tensor Tensor::pow(double exponent) const {
  return minidl::pow(*this, exponent);
}
Tensor Tensor::relu() const {
  return minidl::relu(*this);
}
Tensor Tensor::sigmoid() const {
  return minidl::sigmoid(*this);
}
Tensor Tensor::tanh() const {
  return minidl::tanh(*this);
}
Tensor Tensor::softmax(std::int64_t dim) const {
  return minidl::softmax(*this, dim);
}
Tensor Tensor::log_softmax(std::int64_t dim) const {
  return minidl::log_softmax(*this, dim);
}
Tensor Tensor::matmul(const Tensor& other) const {
  return minidl::matmul(*this, other);
}
Tensor Tensor::square() const {
  return minidl::square(*this);
}
Tensor Tensor::clamp(std::optional<double> min, std::optional<double> max) const {
  return minidl::clamp(*this, min, max);
}
Tensor Tensor::masked_fill(const Tensor& mask, double value) const {
  return minidl::masked_fill(*this, mask, value);
}
Tensor Tensor::cumsum(std::int64_t dim) const {
  return minidl::cumsum(*this, dim);
}
Tensor Tensor::cumprod(std::int64_t dim) const {
  return minidl::cumprod(*this, dim);
}
Tensor Tensor::prod(std::optional<std::int64_t> dim, bool keepdim) const {
  return minidl::prod(*this, dim, keepdim);
}
Tensor Tensor::swapaxes(std::int64_t axis0, std::int64_t axis1) const {
  return transpose(axis0, axis1);
}
Tensor Tensor::swapdims(std::int64_t dim0, std::int64_t dim1) const {
  return transpose(dim0, dim1);
}

}  // namespace minidl
