#pragma once

#include <optional>

#include "minidl/nn/module.h"

namespace minidl::nn {

struct EmbeddingOptions {
  std::int64_t num_embeddings = 0;               ///< V: indices are 0..V-1
  std::int64_t embedding_dim = 0;                ///< D
  std::optional<std::int64_t> padding_idx = {};  ///< a row of zeros that does not learn
};

/// A table of vectors: indices [...] (i64 or i32) -> [..., D]. Parameter weight [V, D], standard
/// normal as in PyTorch. padding_idx may count from the end.
class Embedding : public Module<Embedding> {
 public:
  explicit Embedding(const EmbeddingOptions& options);
  Embedding(ModuleBase& parent, std::string_view name, const EmbeddingOptions& options);

  Tensor forward(const Tensor& indices);

  Tensor weight;

 private:
  std::optional<std::int64_t> padding_idx_;
};

}  // namespace minidl::nn
