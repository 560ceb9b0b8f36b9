#include "minidl/nn/modules/transformer.h"

#include "minidl/core/ops/elementwise.h"

namespace minidl::nn {

TransformerEncoderLayer::TransformerEncoderLayer(const TransformerEncoderLayerOptions& options)
    : self_attn(*this, "self_attn",
                {.embed_dim = options.embed_dim,
                 .heads = options.heads,
                 .dropout = options.dropout,
                 .need_weights = false}),
      linear1(*this, "linear1", {.in = options.embed_dim, .out = options.dim_feedforward}),
      dropout(*this, "dropout", options.dropout),
      linear2(*this, "linear2", {.in = options.dim_feedforward, .out = options.embed_dim}),
      norm1(*this, "norm1",
            {.normalized_shape = {options.embed_dim}, .eps = options.layer_norm_eps}),
      norm2(*this, "norm2",
            {.normalized_shape = {options.embed_dim}, .eps = options.layer_norm_eps}),
      dropout1(*this, "dropout1", options.dropout),
      dropout2(*this, "dropout2", options.dropout),
      activation_(options.activation),
      norm_first_(options.norm_first) {}

TransformerEncoderLayer::TransformerEncoderLayer(ModuleBase& parent, std::string_view name,
                                                 const TransformerEncoderLayerOptions& options)
    : TransformerEncoderLayer(options) {
  parent.register_module(name, *this);
}

Tensor TransformerEncoderLayer::forward(const Tensor& src, const Tensor& mask) {
  if (norm_first_) {
    const Tensor x = src + attend(norm1(src), mask);
    return x + feed_forward(norm2(x));
  }
  const Tensor x = norm1(src + attend(src, mask));
  return norm2(x + feed_forward(x));
}

Tensor TransformerEncoderLayer::attend(const Tensor& x, const Tensor& mask) {
  return dropout1(std::get<0>(self_attn(x, x, x, mask)));
}

Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) {
  const Tensor hidden = linear1(x);
  const Tensor active = activation_ == TransformerActivation::gelu ? gelu(hidden) : relu(hidden);
  return dropout2(linear2(dropout(active)));
}

}  // namespace minidl::nn
