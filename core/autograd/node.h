// The tape: a graph of nodes that each turn output gradients into input gradients.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/hooks.h"
#include "minidl/core/op.h"
#include "minidl/core/tensor.h"

namespace minidl::autograd {

class Node;

/// Where a gradient goes next: an output of an earlier node. A null node wants none.
struct Edge {
  std::shared_ptr<Node> node;
  int output = 0;
};

/// A recorded step. Nodes own the nodes that feed them, never the other way round.
class Node {
 public:
  explicit Node(std::uint64_t sequence) : sequence_(sequence) {}
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  virtual const char* name() const = 0;
  virtual int outputs() const = 0;

  /// Gradients of the inputs, in the order of edges().
  virtual Tensors backward(const Tensors& grads) = 0;

  /// Drops saved tensors after a backward pass that does not retain the graph.
  virtual void release_saved() {}
  virtual bool released() const { return false; }

  const std::vector<Edge>& edges() const { return edges_; }
  void set_edges(std::vector<Edge> edges) { edges_ = std::move(edges); }

  /// Later operations run first in backward; accumulation into leaves runs before anything else, so
  /// that a gradient is announced as soon as it is complete.
  std::uint64_t sequence() const { return sequence_; }

  /// Of the module whose forward recorded it; kept while somebody profiles or looks for NaN.
  const std::string& module_path() const { return module_path_; }
  void set_module_path(std::string path) { module_path_ = std::move(path); }

  using Hook = std::function<Tensor(const Tensor&)>;
  HookHandle add_hook(int output, Hook hook);
  /// The hooks on each output that has any.
  const std::map<int, HookList<Hook>>& hooks() const { return hooks_; }

 private:
  std::uint64_t sequence_;
  std::vector<Edge> edges_;
  std::string module_path_;
  std::map<int, HookList<Hook>> hooks_;
};

/// A tensor kept for backward, cut off from the graph, with the version it had. Goes through
/// SavedTensorHooks, if there are any.
class SavedTensor {
 public:
  SavedTensor() = default;  ///< of nothing: not to be unpacked
  explicit SavedTensor(const Tensor& tensor);
  /// Throws Error naming `op` and the operand if it was changed in place since.
  Tensor unpack(const char* op, const char* operand, int index) const;

 private:
  struct Packed;
  std::shared_ptr<const Packed> packed_;
};

/// While it lives, tensors saved for backward on this thread are replaced by what `pack` returns,
/// and `unpack` brings them back when backward asks: offloading and checkpointing are made of this.
/// Hooks nest; the innermost is asked first.
class SavedTensorHooks {
 public:
  /// Returns the tensor or its equal. Called once in each backward pass that comes to the operation
  /// which saved it, and destroyed with the graph.
  using Unpack = std::function<Tensor()>;
  /// Takes the tensor, cut off from the graph. An empty function leaves it to the hooks further
  /// out; where there are none, the tensor itself is kept and watched for changes in place.
  using Pack = std::function<Unpack(const Tensor&)>;

  explicit SavedTensorHooks(Pack pack);
  ~SavedTensorHooks();
  SavedTensorHooks(const SavedTensorHooks&) = delete;
  SavedTensorHooks& operator=(const SavedTensorHooks&) = delete;

 private:
  friend class SavedTensor;
  Pack pack_;
  const SavedTensorHooks* outer_;
};

/// The node that one `apply_op` records.
class OpNode final : public Node {
 public:
  OpNode(std::shared_ptr<const Op> op, const Tensors& inputs, const Tensors& outputs,
         TensorSpecs input_specs);

  const char* name() const override { return op_->name(); }
  int outputs() const override { return outputs_; }
  Tensors backward(const Tensors& grads) override;
  void release_saved() override;
  bool released() const override { return released_; }

 private:
  class Context;  // what one run of backward sees
  using Saved = std::vector<std::pair<int, SavedTensor>>;

  std::shared_ptr<const Op> op_;
  TensorSpecs input_specs_;
  std::vector<bool> needs_grad_;
  int outputs_;
  bool released_ = false;
  Saved saved_inputs_;
  Saved saved_outputs_;
};

/// Adds gradients into a leaf's grad().
class AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(Tensor leaf);
  const char* name() const override { return "accumulate_grad"; }
  int outputs() const override { return 1; }
  Tensors backward(const Tensors& grads) override;

 private:
  Tensor leaf_;
};

/// Lets gradients through and reports them. Returns `tensors`, with those that require a gradient
/// replaced by aliases of the same elements: use these from here on. In backward `report` gets the
/// gradients of all of them at once (undefined where there is none), when the last is complete and
/// before anything that was computed earlier runs: put around a function it tells when its backward
/// begins and ends. Without a tensor that requires a gradient nothing is ever reported.
Tensors watch_gradients(const Tensors& tensors, std::function<void(const Tensors&)> report);

/// Where the gradient of `tensor` goes: its node, its accumulator, or nowhere.
Edge gradient_edge(const Tensor& tensor);

}  // namespace minidl::autograd
