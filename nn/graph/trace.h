// Recording what a module does.
#pragma once

#include <concepts>
#include <functional>

#include "minidl/nn/graph/graph.h"
#include "minidl/nn/leaves.h"
#include "minidl/nn/module.h"

namespace minidl {

namespace detail {

/// Records what `forward` does with `inputs` and the parameters of `module`.
Graph trace(nn::ModuleBase& module, const Tensors& inputs, const std::function<Tensors()>& forward);

}  // namespace detail

/// Calls `module` with `examples` and returns what happened. The examples should be fake: then
/// nothing is computed or allocated, and whatever looks at elements throws instead of taking part
/// unseen.
///
///     Graph graph = trace(model, fake({1, 3, 32, 32}));
///     std::cout << graph.to_string();
///
/// The tensors among the arguments and results, flattened as by `nn::visit_leaves`, become the
/// inputs and outputs; other arguments are fixed from here on, and so are shapes. Gradients are not
/// recorded. Real examples are computed with, and all that is computed lives until the end.
///
/// What a graph cannot hold:
/// - Control flow that depends on elements: with fake examples item() and its like throw; with real
///   ones the branch taken is recorded.
/// - Changes in place (add_ and so on) of parameters, buffers and whatever a step reads or returns:
///   throws Error. Batch norm in training mode makes some on real examples; on fake ones it leaves
///   its statistics alone and can be recorded, as the forward pass that it is.
/// - Elements made in other ways, by factories or by hand. Real ones become constants. Fake ones
///   that no operation made (zeros_like of a fake) throw Error, and so does a result of that kind.
/// - Random draws: dropout in training mode drops the same elements in each replay.
/// - Operations on other threads.
template <std::derived_from<nn::ModuleBase> M, class... Args>
Graph trace(M& module, const Args&... examples) {
  return detail::trace(module, nn::leaves_of(examples...),
                       [&] { return nn::leaves_of(module(examples...)); });
}

}  // namespace minidl
