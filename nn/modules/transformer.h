#pragma once

#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/attention.h"
#include "minidl/nn/modules/layer_norm.h"
#include "minidl/nn/modules/linear.h"

namespace minidl::nn {

enum class TransformerActivation { relu, gelu };

struct TransformerEncoderLayerOptions {
  std::int64_t embed_dim = 0;  ///< E; PyTorch's d_model
  std::int64_t heads = 1;      ///< divides E; PyTorch's nhead
  std::int64_t dim_feedforward = 2048;
  double dropout = 0.1;  ///< of attention weights, inside the feed-forward and after both parts
  TransformerActivation activation = TransformerActivation::relu;
  double layer_norm_eps = 1e-5;
  bool norm_first = false;  ///< normalise what each part reads, not the sum that it leaves
};

/// A layer of a transformer's encoder (Vaswani et al. 2017): attention of a sequence to itself,
/// then a feed-forward network for each element, each part added to what it read. Submodules have
/// PyTorch's names; tensors are batch first.
class TransformerEncoderLayer : public Module<TransformerEncoderLayer> {
 public:
  explicit TransformerEncoderLayer(const TransformerEncoderLayerOptions& options);
  TransformerEncoderLayer(ModuleBase& parent, std::string_view name,
                          const TransformerEncoderLayerOptions& options);

  /// src [N, L, E] -> [N, L, E]; mask as in MultiheadAttention, true where a query may look at a
  /// key.
  Tensor forward(const Tensor& src, const Tensor& mask = {});

  MultiheadAttention self_attn;
  Linear linear1;
  Dropout dropout;
  Linear linear2;
  LayerNorm norm1;
  LayerNorm norm2;
  Dropout dropout1;
  Dropout dropout2;

 private:
  Tensor attend(const Tensor& x, const Tensor& mask);
  Tensor feed_forward(const Tensor& x);

  TransformerActivation activation_;
  bool norm_first_;
};

}  // namespace minidl::nn
