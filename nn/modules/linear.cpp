#include "minidl/nn/modules/linear.h"

#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"

namespace minidl::nn {

Linear::Linear(const LinearOptions& options) {
  check(options.in > 0 && options.out > 0, "Linear: in ({}) and out ({}) must be positive",
        options.in, options.out);
  weight = register_parameter("weight", empty({options.out, options.in}));
  init::kaiming_uniform_(weight, std::sqrt(5));
  if (!options.bias) return;
  bias = register_parameter("bias", empty({options.out}));
  const double bound = 1 / std::sqrt(static_cast<double>(options.in));
  const NoGradGuard no_grad;
  bias.uniform_(-bound, bound);
}

Linear::Linear(ModuleBase& parent, std::string_view name, const LinearOptions& options)
    : Linear(options) {
  parent.register_module(name, *this);
}

Tensor Linear::forward(const Tensor& x) {
  return linear(x, weight, bias);
}

}  // namespace minidl::nn
