// Running the tape backwards.
#pragma once

#include <functional>

#include "minidl/core/tensor.h"

namespace minidl::autograd {

/// Accumulates the gradients of `root` (seeded with `gradient`; ones for a one-element root if
/// undefined) into every leaf it was computed from. Nodes run one at a time on the calling thread,
/// in an order that depends on the graph only: later operations first. Throws Error if `root` does
/// not require a gradient, on a gradient of the wrong shape, if the graph was already freed, and
/// whatever a node throws, with the operation's name in front.
void backward(const Tensor& root, const Tensor& gradient, bool retain_graph);

/// Calls `callback` once, when the backward pass that is running on this thread has accumulated
/// every gradient. Hooks use it. Throws Error outside a backward pass.
void queue_end_of_backward(std::function<void()> callback);

}  // namespace minidl::autograd
