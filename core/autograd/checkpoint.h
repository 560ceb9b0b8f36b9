// Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"):
// part of the forward is computed twice, so that its activations need not wait for backward.
#pragma once

#include <functional>

#include "minidl/core/tensor.h"

namespace minidl {

/// `body(x)`, without keeping what its operations save for backward:
///
///     Tensor y = checkpoint([&](const Tensor& x) { return block(x); }, x);
///
/// When backward comes to them, `body` runs a second time, until all of it is there again. The two
/// runs draw the same random numbers, and modules do not update running statistics twice (yours
/// ask autograd::is_recomputing). Gradients are those without a checkpoint, to the bit. PyTorch's
/// torch.utils.checkpoint with use_reentrant = False.
///
/// - `body` and what it refers to must live until the graph is freed. x is kept, and so are
///   parameters and buffers (MemoryTag::param), which live anyway. Changing them in place before
///   backward is an error.
/// - `body` must do the same both times. If what it saves differs in number, shape, dtype or
///   version, or comes after other random draws, backward throws Error. A module that was switched
///   from train() to eval() in between is the usual cause.
/// - Hooks that `body` registers on tensors work; a module's forward hooks run twice.
/// - Checkpoints nest. Under a NoGradGuard this is `body(x)`.
Tensor checkpoint(const std::function<Tensor(const Tensor&)>& body, const Tensor& x);

/// The same for a body of several tensors, of which some may be undefined.
Tensors checkpoint(std::function<Tensors(const Tensors&)> body, const Tensors& inputs);

namespace autograd {

/// Whether this thread is running the body of a checkpoint for the second time. Modules that change
/// buffers in forward do so the first time only.
bool is_recomputing();

}  // namespace autograd
}  // namespace minidl
