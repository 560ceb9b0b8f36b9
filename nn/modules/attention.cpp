#include "minidl/nn/modules/attention.h"

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"

namespace minidl::nn {
namespace {

const MultiheadAttentionOptions& checked(const MultiheadAttentionOptions& options) {
  check(options.embed_dim > 0 && options.heads > 0 && options.embed_dim % options.heads == 0,
        "MultiheadAttention: {} heads do not divide embed_dim {}", options.heads,
        options.embed_dim);
  check(options.dropout >= 0 && options.dropout <= 1,
        "MultiheadAttention: dropout must be between 0 and 1, not {}", options.dropout);
  return options;
}

void check_operands(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask,
                    const MultiheadAttentionOptions& options) {
  const bool sequences = query.dim() == 3 && key.dim() == 3 && value.shape() == key.shape();
  check(
      sequences && query.size(0) == key.size(0) && query.size(2) == options.embed_dim &&
          key.size(2) == options.embed_dim,
      "MultiheadAttention: query must be [N, L, {0}], key and value [N, S, {0}], not {1}, {2} and "
      "{3}",
      options.embed_dim, query.shape(), key.shape(), value.shape());
  if (!mask.defined()) return;
  const Shape scores{query.size(0), options.heads, query.size(1), key.size(1)};
  bool fits = mask.dim() == 2 || mask.dim() == 4;
  for (int i = 1; fits && i <= mask.dim(); ++i) {
    fits = mask.size(-i) == 1 || mask.size(-i) == scores[4 - i];
  }
  check(
      fits,
      "MultiheadAttention: the mask must be [L, S] or stretch to [N, heads, L, S] = {}, not {}; a "
      "padding mask [N, S] wants .reshape({{N, 1, 1, S}})",
      scores, mask.shape());
}

}  // namespace

MultiheadAttention::MultiheadAttention(const MultiheadAttentionOptions& options)
    : out_proj(*this, "out_proj",
               {.in = checked(options).embed_dim, .out = options.embed_dim, .bias = options.bias}),
      options_(options) {
  const std::int64_t width = options.embed_dim;
  in_proj_weight = register_parameter("in_proj_weight", empty({3 * width, width}));
  init::xavier_uniform_(in_proj_weight);
  if (!options.bias) return;
  in_proj_bias = register_parameter("in_proj_bias", zeros({3 * width}));
  const NoGradGuard no_grad;
  out_proj.bias.zero_();
}

MultiheadAttention::MultiheadAttention(ModuleBase& parent, std::string_view name,
                                       const MultiheadAttentionOptions& options)
    : MultiheadAttention(options) {
  parent.register_module(name, *this);
}

// [N, L, E] -> [N, heads, L, E / heads], by the rows of query (0), key (1) or value (2). A view:
// the elements of a head lie E apart.
Tensor MultiheadAttention::project(const Tensor& x, std::int64_t part) const {
  const std::int64_t width = options_.embed_dim;
  auto rows = [&](const Tensor& parameter) {
    return parameter.defined() ? parameter.slice(0, part * width, (part + 1) * width) : Tensor();
  };
  const Tensor y = linear(x, rows(in_proj_weight), rows(in_proj_bias));
  return y.reshape({x.size(0), x.size(1), options_.heads, width / options_.heads}).transpose(1, 2);
}

std::tuple<Tensor, Tensor> MultiheadAttention::forward(const Tensor& query, const Tensor& key,
                                                       const Tensor& value, const Tensor& mask) {
  check_operands(query, key, value, mask, options_);
  const AttentionOptions attention{.mask = mask, .dropout = training() ? options_.dropout : 0};
  const Tensor q = project(query, 0);
  const Tensor k = project(key, 1);
  const Tensor v = project(value, 2);
  AttentionResult heads;
  if (options_.need_weights) {  // each head dense, so that the products to come need no copies
    heads = attention_with_weights(q.contiguous(), k.contiguous(), v.contiguous(), attention);
  } else {
    heads.output = scaled_dot_product_attention(q, k, v, attention);
  }
  const Tensor output = out_proj(heads.output.transpose(1, 2).reshape(query.shape()));
  return {output, options_.need_weights ? heads.weights.mean({1}) : Tensor()};
}

}  // namespace minidl::nn
