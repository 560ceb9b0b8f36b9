// Losses. The cross entropy of softmax is in core/ops/softmax.h.
#pragma once

#include "minidl/core/ops/loss_reduction.h"
#include "minidl/core/tensor.h"

namespace minidl {

// Input and target are promoted to a common dtype, a floating-point one, and broadcast where
// nothing else is said. With LossReduction::none the result has the broadcast shape and the layout
// of a dense input, else it is a scalar. The mean of nothing is NaN. Both operands get gradients.

/// (input - target)^2
Tensor mse_loss(const Tensor& input, const Tensor& target,
                LossReduction reduction = LossReduction::mean);
/// |input - target|
Tensor l1_loss(const Tensor& input, const Tensor& target,
               LossReduction reduction = LossReduction::mean);
/// d^2 / (2 beta) where |d| = |input - target| < beta, else |d| - beta / 2 (Girshick 2015).
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target,
                      LossReduction reduction = LossReduction::mean, double beta = 1);
/// d^2 / 2 where |d| = |input - target| <= delta, else delta (|d| - delta / 2) (Huber 1964).
Tensor huber_loss(const Tensor& input, const Tensor& target,
                  LossReduction reduction = LossReduction::mean, double delta = 1);

/// -(y log x + (1 - y) log(1 - x)) of probabilities x and targets y in 0..1, of one shape.
/// Logarithms below -100 count as -100, as in PyTorch. weight, if given, multiplies the losses and
/// broadcasts to their shape.
Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                            LossReduction reduction = LossReduction::mean);
/// binary_cross_entropy of sigmoid(input), without its overflows. pos_weight, if given, multiplies
/// the part of the loss that belongs to y, and broadcasts: one number per class, say.
Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                        const Tensor& weight = {},
                                        LossReduction reduction = LossReduction::mean,
                                        const Tensor& pos_weight = {});

/// The divergence of Kullback and Leibler (1951): target (log(target) - input), the input being
/// log-probabilities; of exp(target) with log_target.
Tensor kl_div(const Tensor& input, const Tensor& target,
              LossReduction reduction = LossReduction::mean, bool log_target = false);

struct NllLossOptions {
  Tensor weight = {};                ///< [C]: of the classes; ones where undefined
  std::int64_t ignore_index = -100;  ///< targets that do not count
  LossReduction reduction = LossReduction::mean;
};

/// -weight[target] * log_probs[target]: log_probs [N, C, ...] or [C], target [N, ...] or
/// [] (i64). The mean divides by the sum of the weights; NaN if no target counts, with zero
/// gradients. Throws Error naming position and label if a label is not in 0..C-1.
Tensor nll_loss(const Tensor& log_probs, const Tensor& target, const NllLossOptions& options = {});

}  // namespace minidl
