#include "minidl/nn/modules/embedding.h"

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/embedding.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

Embedding::Embedding(const EmbeddingOptions& options) : padding_idx_(options.padding_idx) {
  const std::int64_t rows = options.num_embeddings;
  check(rows > 0 && options.embedding_dim > 0,
        "Embedding: num_embeddings ({}) and embedding_dim ({}) must be positive", rows,
        options.embedding_dim);
  weight = register_parameter("weight", randn({rows, options.embedding_dim}));
  if (!padding_idx_) return;
  check(*padding_idx_ >= -rows && *padding_idx_ < rows,
        "Embedding: padding_idx is {}, but there are {} rows", *padding_idx_, rows);
  const NoGradGuard no_grad;
  weight.select(0, *padding_idx_).zero_();
}

Embedding::Embedding(ModuleBase& parent, std::string_view name, const EmbeddingOptions& options)
    : Embedding(options) {
  parent.register_module(name, *this);
}

Tensor Embedding::forward(const Tensor& indices) {
  return embedding(indices, weight, padding_idx_);
}

}  // namespace minidl::nn
