#include "minidl/nn/init.h"

#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn::init {
namespace {

const Tensor& uniform_within(const Tensor& weight, double bound) {
  const NoGradGuard no_grad;
  return weight.uniform_(-bound, bound);
}

const Tensor& normal_of(const Tensor& weight, double deviation) {
  const NoGradGuard no_grad;
  return weight.normal_(0, deviation);
}

double positive(std::int64_t fan) {
  return static_cast<double>(fan > 0 ? fan : 1);
}

}  // namespace

Fans fans(const Tensor& weight) {
  check(weight.dim() >= 2, "init: a weight has two dimensions or more, not the shape {}",
        weight.shape());
  std::int64_t window = 1;
  for (int i = 2; i < weight.dim(); ++i) window *= weight.size(i);
  return {.in = weight.size(1) * window, .out = weight.size(0) * window};
}

const Tensor& kaiming_uniform_(const Tensor& weight, double a) {
  return uniform_within(weight, std::sqrt(6 / ((1 + a * a) * positive(fans(weight).in))));
}

const Tensor& kaiming_normal_(const Tensor& weight, bool fan_out) {
  const Fans both = fans(weight);
  return normal_of(weight, std::sqrt(2 / positive(fan_out ? both.out : both.in)));
}

const Tensor& xavier_uniform_(const Tensor& weight, double gain) {
  const Fans both = fans(weight);
  return uniform_within(weight, gain * std::sqrt(6 / positive(both.in + both.out)));
}

const Tensor& xavier_normal_(const Tensor& weight, double gain) {
  const Fans both = fans(weight);
  return normal_of(weight, gain * std::sqrt(2 / positive(both.in + both.out)));
}

}  // namespace minidl::nn::init
