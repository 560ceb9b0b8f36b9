// The loss of labels under log-probabilities, as nll_loss and cross_entropy share it.
// Not part of the public interface.
#pragma once

#include "minidl/core/ops/loss.h"

namespace minidl {

/// losses reduced; batchmean throws Error, naming `op`.
Tensor reduce_losses(const char* op, const Tensor& losses, LossReduction reduction);

/// nll_loss with label smoothing and under the name of `op`: this share of each target is spread
/// over all classes.
Tensor label_loss(const char* op, const Tensor& log_probs, const Tensor& target,
                  const NllLossOptions& options, double label_smoothing);

}  // namespace minidl
