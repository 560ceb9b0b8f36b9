// Batch normalisation (Ioffe and Szegedy 2015).
#pragma once

#include "minidl/core/communicator.h"
#include "minidl/core/tensor.h"

namespace minidl {

/// What batch_norm found in a batch.
struct BatchNormResult {
  Tensor y;                ///< in the layout of a dense x
  Tensor mean;             ///< [C]
  Tensor variance;         ///< [C], biased
  std::int64_t count = 0;  ///< values in each channel that they are the statistics of
};

// x [N, C, …]; weight and bias [C], both or neither; all of one dtype, or f32
// beside an x of f16 or bf16.

/// Normalises each channel with the batch's own mean and variance. An empty batch gives an empty y
/// and zeros.
BatchNormResult batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    double eps);

/// The same with the mean and variance of the batches of all ranks together, which may differ in
/// size and be empty. Collective, and so is backward where x requires a gradient: all ranks run the
/// same layers in the same order. Gradients are what DataParallel averages to those of one process
/// with the whole batch, if each rank's loss is a mean over its own x.size(0) samples.
BatchNormResult sync_batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                         double eps, Communicator& communicator);

/// Normalises with given statistics, which are constants here.
Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight, const Tensor& bias, double eps);

}  // namespace minidl
