#pragma once

#include <tuple>

#include "minidl/nn/modules/linear.h"

namespace minidl::nn {

struct MultiheadAttentionOptions {
  std::int64_t embed_dim = 0;  ///< E
  std::int64_t heads = 1;      ///< divides E
  double dropout = 0;          ///< of attention weights, while training
  bool bias = true;
  /// false: the second result is undefined, and no memory of the size of the weights is needed
  bool need_weights = true;
};

/// Multi-head attention (Vaswani et al. 2017) over batch-first sequences. The parameters have
/// PyTorch's names and first values: in_proj_weight [3 E, E] (the rows of query, key and value, one
/// after the other; Xavier uniform), in_proj_bias [3 E] (zeros), out_proj.weight [E, E] (as in
/// Linear) and out_proj.bias [E] (zeros).
class MultiheadAttention : public Module<MultiheadAttention> {
 public:
  explicit MultiheadAttention(const MultiheadAttentionOptions& options);
  MultiheadAttention(ModuleBase& parent, std::string_view name,
                     const MultiheadAttentionOptions& options);

  /// query [N, L, E], key and value [N, S, E] -> the output [N, L, E] and the attention weights
  /// [N, L, S], averaged over the heads, after dropout.
  ///
  /// mask: bool, true where a query may look at a key, as in scaled_dot_product_attention. (The
  /// attn_mask and key_padding_mask of PyTorch's module are the other way round: true forbids.) It
  /// stretches to [N, heads, L, S] and has two dimensions or four:
  ///
  ///     [L, S]            the same for all, such as a causal mask
  ///     [N, 1, 1, S]      padding: true where sequence n has a key; from [N, S] by reshape
  ///     [N, heads, L, S]  whatever you like
  ///
  /// A query that may look at no key gets out_proj's bias, and weights of zero.
  std::tuple<Tensor, Tensor> forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                     const Tensor& mask = {});

  Tensor in_proj_weight;
  Tensor in_proj_bias;  ///< undefined without one
  Linear out_proj;

 private:
  Tensor project(const Tensor& x, std::int64_t part) const;

  MultiheadAttentionOptions options_;
};

}  // namespace minidl::nn
