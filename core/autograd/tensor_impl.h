// What stands behind a Tensor handle. Not part of the public interface.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::autograd {

class Node;

struct TensorImpl {
  Storage storage;
  std::int64_t offset = 0;
  Shape shape;
  Strides strides;
  DType dtype = f32;

  /// Set on leaves by the user; on results by apply_op.
  bool requires_grad = false;
  /// The node that computed this tensor and which of its outputs it is; null for leaves.
  std::shared_ptr<Node> grad_fn;
  int output_index = 0;

  /// The gradient's memory outlives its validity: zero_grad clears the flag, the next accumulation
  /// overwrites the elements.
  Tensor grad;
  bool grad_valid = false;
  /// The node that accumulates into `grad`; kept alive by the graphs that lead to it.
  std::weak_ptr<Node> accumulator;

  HookList<std::function<Tensor(const Tensor&)>> hooks;  ///< of a leaf; others' are on their node
  HookList<std::function<void(const Tensor&)>> post_accumulate_hooks;
};

}  // namespace minidl::autograd
