#pragma once

#include <optional>

#include "minidl/nn/module.h"

namespace minidl::nn {

struct LayerNormOptions {
  Shape normalized_shape = {};     ///< extents of the last dimensions of the input
  double eps = 1e-5;               ///< added to the variance
  bool elementwise_affine = true;  ///< a trainable weight (ones) and bias (zeros)
  bool bias = true;                ///< false: the weight alone
};

/// minidl::layer_norm over the last dimensions (Ba, Kiros and Hinton 2016): [..., D] -> [..., D].
class LayerNorm : public Module<LayerNorm> {
 public:
  explicit LayerNorm(const LayerNormOptions& options);
  /// Over the last dimension.
  explicit LayerNorm(std::int64_t features) : LayerNorm(over(features)) {}
  LayerNorm(ModuleBase& parent, std::string_view name, const LayerNormOptions& options);
  LayerNorm(ModuleBase& parent, std::string_view name, std::int64_t features)
      : LayerNorm(parent, name, over(features)) {}

  Tensor forward(const Tensor& x);

  Tensor weight;  ///< normalized_shape; undefined if not affine
  Tensor bias;    ///< normalized_shape; undefined without one

 private:
  static LayerNormOptions over(std::int64_t features) { return {.normalized_shape = {features}}; }

  LayerNormOptions options_;
};

struct RMSNormOptions {
  Shape normalized_shape = {};     ///< extents of the last dimensions of the input
  std::optional<double> eps = {};  ///< added to the mean square; the dtype's where left out
  bool elementwise_affine = true;  ///< a trainable weight (ones)
};

/// minidl::rms_norm over the last dimensions (Zhang and Sennrich 2019): [..., D] -> [..., D].
class RMSNorm : public Module<RMSNorm> {
 public:
  explicit RMSNorm(const RMSNormOptions& options);
  RMSNorm(ModuleBase& parent, std::string_view name, const RMSNormOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;  ///< normalized_shape; undefined if not affine

 private:
  RMSNormOptions options_;
};

}  // namespace minidl::nn
