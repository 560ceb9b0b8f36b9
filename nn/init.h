// Filling parameters before training.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl::nn::init {

/// Inputs and outputs of one unit: a weight is [out, in] or [out, in / groups, R, S].
struct Fans {
  std::int64_t in = 0;
  std::int64_t out = 0;
};
/// Throws Error for tensors of fewer than two dimensions.
Fans fans(const Tensor& weight);

// All draw from the default generator and return the tensor.

/// Uniform within ±sqrt(6 / ((1 + a²) fan_in)), for rectifiers of negative slope a (He et al.
/// 2015).
const Tensor& kaiming_uniform_(const Tensor& weight, double a = 0);
/// Normal with deviation sqrt(2 / fan_in), or of fan_out (He et al. 2015).
const Tensor& kaiming_normal_(const Tensor& weight, bool fan_out = false);
/// Uniform within ±gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
const Tensor& xavier_uniform_(const Tensor& weight, double gain = 1);
/// Normal with deviation gain sqrt(2 / (fan_in + fan_out)).
const Tensor& xavier_normal_(const Tensor& weight, double gain = 1);

}  // namespace minidl::nn::init
