#pragma once

#include "minidl/nn/module.h"

namespace minidl::nn {

struct BatchNormOptions {
  std::int64_t features = 0;
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of the new batch in the running statistics
  bool affine = true;     ///< a trainable weight (ones) and bias (zeros)
};

/// Batch normalisation over all dimensions but the second: [N, C, …]. Buffers running_mean,
/// running_var (unbiased) and num_batches_tracked, as in PyTorch. In training mode a batch needs
/// more than one value per channel; an empty batch passes through and leaves the statistics alone,
/// and so does a fake one.
class BatchNorm : public Module<BatchNorm> {
 public:
  explicit BatchNorm(const BatchNormOptions& options);
  explicit BatchNorm(std::int64_t features) : BatchNorm(BatchNormOptions{.features = features}) {}
  BatchNorm(ModuleBase& parent, std::string_view name, const BatchNormOptions& options);
  BatchNorm(ModuleBase& parent, std::string_view name, std::int64_t features)
      : BatchNorm(parent, name, BatchNormOptions{.features = features}) {}

  Tensor forward(const Tensor& x);

  Tensor weight;  ///< [C]; undefined if not affine
  Tensor bias;    ///< [C]; undefined if not affine
  Tensor running_mean;
  Tensor running_var;
  Tensor num_batches_tracked;  ///< i64 scalar

 private:
  BatchNormOptions options_;
};

using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

}  // namespace minidl::nn
