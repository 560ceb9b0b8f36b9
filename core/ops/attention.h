// Attention (Vaswani et al. 2017).
#pragma once

#include <optional>

#include "minidl/core/tensor.h"

namespace minidl {

struct AttentionOptions {
  /// bool, broadcast to [..., L, S]: true where query l may look at key s. Undefined: everywhere.
  Tensor mask = {};
  double dropout = 0;   ///< probability of dropping a weight; pass 0 outside of training
  bool causal = false;  ///< query l looks at keys 0..l only; a mask holds besides
  std::optional<double> scale = {};  ///< of the scores; 1 / sqrt(E) where left out
};

struct AttentionResult {
  Tensor output;   ///< [..., L, Ev]
  Tensor weights;  ///< [..., L, S]: what v was averaged with, after dropout
};

/// softmax(scale q k^T) v: q [..., L, E], k [..., S, E], v [..., S, Ev], whose leading dimensions
/// broadcast; of one floating-point dtype. A query that may look at no key gets zeros, and no
/// gradient flows through it. The output has the layout of a dense q.
///
/// On the CPU the scores are never in memory, forward or backward: they are computed in tiles, with
/// an online softmax, and again for the gradients (FlashAttention, Dao et al. 2022 and 2023).
/// Memory grows with L + S, and dropout's mask is drawn again. On CUDA: attention_with_weights.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options = {});

/// The same with the weights, for those who want to look at them; memory grows with L * S. Equal
/// seeds drop equal weights in both.
AttentionResult attention_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionOptions& options = {});

}  // namespace minidl
