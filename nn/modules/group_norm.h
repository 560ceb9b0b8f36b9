#pragma once

#include "minidl/nn/module.h"

namespace minidl::nn {

struct GroupNormOptions {
  std::int64_t groups = 0;    ///< divides the channels
  std::int64_t channels = 0;  ///< C
  double eps = 1e-5;          ///< added to the variance
  bool affine = true;         ///< a trainable weight (ones) and bias (zeros)
};

/// minidl::group_norm (Wu and He 2018): [N, C, ...] -> [N, C, ...].
class GroupNorm : public Module<GroupNorm> {
 public:
  explicit GroupNorm(const GroupNormOptions& options);
  GroupNorm(ModuleBase& parent, std::string_view name, const GroupNormOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;  ///< [C]; undefined if not affine
  Tensor bias;    ///< [C]; undefined if not affine

 private:
  GroupNormOptions options_;
};

struct InstanceNormOptions {
  std::int64_t features = 0;  ///< C
  double eps = 1e-5;          ///< added to the variance
  bool affine = false;        ///< a trainable weight (ones) and bias (zeros)
};

/// minidl::instance_norm: [N, C, ...] -> [N, C, ...], without running statistics, PyTorch's
/// default.
class InstanceNorm : public Module<InstanceNorm> {
 public:
  explicit InstanceNorm(const InstanceNormOptions& options);
  InstanceNorm(ModuleBase& parent, std::string_view name, const InstanceNormOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;  ///< [C]; undefined if not affine
  Tensor bias;    ///< [C]; undefined if not affine

 private:
  InstanceNormOptions options_;
};

using InstanceNorm1d = InstanceNorm;
using InstanceNorm2d = InstanceNorm;

}  // namespace minidl::nn
