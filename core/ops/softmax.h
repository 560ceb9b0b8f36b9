// Softmax and the losses made of it.
#pragma once

#include "minidl/core/ops/loss_reduction.h"
#include "minidl/core/tensor.h"

namespace minidl {

/// exp(x) normalised to a sum of 1 along `dim`. Floating-point dtypes.
Tensor softmax(const Tensor& x, std::int64_t dim);
/// softmax over those elements whose mask is true, as in PyTorch's scaled_dot_product_attention;
/// the others get 0. mask: bool, any shape that broadcasts to x's; it is never copied to it. Where
/// no element takes part, all get 0 and no gradient: never NaN.
Tensor masked_softmax(const Tensor& x, const Tensor& mask, std::int64_t dim);
/// log(softmax(x)), computed without leaving the logarithm.
Tensor log_softmax(const Tensor& x, std::int64_t dim);

struct CrossEntropyOptions {
  double label_smoothing = 0;        ///< 0..1: this share of the target is spread over all classes
  std::int64_t ignore_index = -100;  ///< rows with this target do not count
  Tensor weight = {};                ///< [C]: of the classes; ones where undefined
  LossReduction reduction = LossReduction::mean;
};

/// The cross entropy between softmax(logits) and the classes in `target`: logits [N, C, ...] (f32,
/// f64) or [C], target [N, ...] or [] (i64). The mean divides by the sum of the targets' weights;
/// NaN if no row counts (an empty batch too), with zero gradients. Throws Error naming row and
/// label if a label is not in 0..C-1. The mean over the rows of [N, C], without weights, is one op.
///
/// A floating-point target of the logits' shape holds probabilities instead; the mean then divides
/// by the number of rows, and ignore_index means nothing.
Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                     const CrossEntropyOptions& options = {});

}  // namespace minidl
