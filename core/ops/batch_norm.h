// Batch normalisation (Ioffe and Szegedy 2015).
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// What batch_norm found in a batch.
struct BatchNormResult {
  Tensor y;         ///< in the layout of a dense x
  Tensor mean;      ///< [C]
  Tensor variance;  ///< [C], biased
};

// x [N, C, …]; weight and bias [C], both or neither; f32 and f64, all of one dtype.

/// Normalises each channel with the batch's own mean and variance. An empty batch gives an empty y
/// and zeros.
BatchNormResult batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    double eps);

/// Normalises with given statistics, which are constants here.
Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight, const Tensor& bias, double eps);

}  // namespace minidl
