#pragma once

#include "minidl/nn/module.h"

namespace minidl::nn {

struct LinearOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
};

/// y = x weight^T + bias: [..., in] -> [..., out]. Parameters weight [out, in] and bias [out], both
/// uniform within ±1 / sqrt(in), as in PyTorch.
class Linear : public Module<Linear> {
 public:
  explicit Linear(const LinearOptions& options);
  Linear(ModuleBase& parent, std::string_view name, const LinearOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;
  Tensor bias;  ///< undefined without one
};

}  // namespace minidl::nn
