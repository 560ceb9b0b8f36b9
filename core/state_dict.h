// Tensors with names: what models hand out and files hold.
#pragma once

#include <string>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// In the order in which a model declares them, or a file lists them.
using StateDict = std::vector<NamedTensor>;

}  // namespace minidl
