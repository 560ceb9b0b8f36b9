#include "minidl/core/autograd/engine.h"

#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minidl/core/anomaly.h"
#include "minidl/core/autocast.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/profiler.h"
#include "minidl/kernels/common/check.h"

namespace minidl::autograd {
namespace {

using Callbacks = std::vector<std::function<void()>>;

// The callbacks of the pass that is running on this thread.
thread_local Callbacks* current_callbacks = nullptr;

class CallbackScope {
 public:
  explicit CallbackScope(Callbacks& callbacks) : previous_(current_callbacks) {
    current_callbacks = &callbacks;
  }
  ~CallbackScope() { current_callbacks = previous_; }
  CallbackScope(const CallbackScope&) = delete;
  CallbackScope& operator=(const CallbackScope&) = delete;

 private:
  Callbacks* previous_;
};

struct LaterFirst {
  bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
    return a->sequence() < b->sequence();
  }
};

// One pass: how many gradients each node still waits for, and those that have arrived.
class Pass {
 public:
  Pass(const Edge& root, const Tensor& gradient, bool retain_graph) : retain_graph_(retain_graph) {
    count_dependencies(root.node);
    arrive(root, gradient);
    ready_.push(root.node);
  }

  void run() {
    while (!ready_.empty()) {
      const std::shared_ptr<Node> node = ready_.top();
      ready_.pop();
      visit(*node);
    }
  }

 private:
  void count_dependencies(const std::shared_ptr<Node>& root) {
    std::vector<Node*> stack{root.get()};
    waiting_for_[root.get()] = 0;
    while (!stack.empty()) {
      const Node* node = stack.back();
      stack.pop_back();
      for (const Edge& edge : node->edges()) {
        if (!edge.node) continue;
        const auto [entry, is_new] = waiting_for_.try_emplace(edge.node.get(), 0);
        ++entry->second;
        if (is_new) stack.push_back(edge.node.get());
      }
    }
  }

  void arrive(const Edge& edge, const Tensor& gradient) {
    Tensors& grads = arrived_[edge.node.get()];
    grads.resize(static_cast<std::size_t>(edge.node->outputs()));
    Tensor& slot = grads[static_cast<std::size_t>(edge.output)];
    slot = slot.defined() ? add(slot, gradient) : gradient;
  }

  void visit(Node& node) {
    Tensors grads = std::move(arrived_[&node]);
    arrived_.erase(&node);
    bool any = false;
    for (const Tensor& grad : grads) any = any || grad.defined();
    Tensors results(node.edges().size());
    if (any) results = run_node(node, std::move(grads));
    for (std::size_t i = 0; i < node.edges().size(); ++i) {
      const Edge& edge = node.edges()[i];
      if (!edge.node) continue;
      if (results[i].defined()) arrive(edge, results[i]);
      if (--waiting_for_[edge.node.get()] == 0) ready_.push(edge.node);
    }
  }

  static void run_hooks(const HookList<Node::Hook>& hooks, Tensor& grad) {
    hooks.for_each([&grad](const Node::Hook& hook) {
      const Tensor replaced = hook(grad);
      if (!replaced.defined()) return;
      if (replaced.shape() != grad.shape() || replaced.dtype() != grad.dtype()) {
        fail("a hook replaced the gradient {} by {}", describe(grad), describe(replaced));
      }
      grad = replaced;
    });
  }

  static std::string profile_name(const Node& node) {
    return ProfileScope::running() ? fmt::format("backward of {}", node.name()) : std::string();
  }

  Tensors run_node(Node& node, Tensors grads) const {
    check(!node.released(),
          "backward: this graph was already freed by an earlier backward; pass retain_graph = true "
          "to that one to keep it");
    try {
      ProfileScope profile(ProfileEvent::Kind::backward, profile_name(node));
      profile.set_module(node.module_path());
      for (const auto& [output, hooks] : node.hooks()) {
        Tensor& grad = grads[static_cast<std::size_t>(output)];
        if (grad.defined()) run_hooks(hooks, grad);
      }
      const bool search = detecting_anomalies();
      Tensors results;
      {
        const DetectAnomaly later(false);  // what comes out is what is told of
        results = node.backward(grads);
      }
      if (search) {
        detail::check_gradients(node.name(), node.module_path(), grads, results);
      }
      if (!retain_graph_) node.release_saved();
      return results;
    } catch (Error& error) {
      error.add_context(fmt::format("backward of {}", node.name()));
      throw;
    }
  }

  bool retain_graph_;
  std::unordered_map<Node*, int> waiting_for_;
  std::unordered_map<Node*, Tensors> arrived_;
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, LaterFirst> ready_;
};

}  // namespace

void backward(const Tensor& root, const Tensor& gradient, bool retain_graph) {
  check(root.defined() && root.requires_grad(),
        "backward: this tensor does not depend on any tensor that requires a gradient, or was "
        "computed under a NoGradGuard");
  check(!root.is_fake(), "backward: a fake tensor has no elements, so it has no gradients");
  check(!gradient.defined() || !gradient.is_fake(),
        "backward: the gradient is a fake tensor, which has no elements");
  check(gradient.defined() || root.numel() == 1,
        "backward: a gradient must be passed for a tensor of shape {}; only one-element tensors go "
        "without",
        root.shape());
  check(!gradient.defined() ||
            (gradient.shape() == root.shape() && gradient.dtype() == root.dtype() &&
             gradient.device() == root.device()),
        "backward: the gradient is {}, the tensor {}", describe(gradient), describe(root));
  const NoGradGuard no_grad;
  const Autocast off(f32);  // gradients have the dtypes of what they are gradients of
  const Tensor seed = gradient.defined()
                          ? gradient
                          : ones(root.shape(), {.dtype = root.dtype(), .device = root.device()});
  Callbacks callbacks;
  const CallbackScope scope(callbacks);
  Pass(gradient_edge(root), seed, retain_graph).run();
  // By index: a callback may queue another one.
  for (std::size_t i = 0; i < callbacks.size(); ++i) {
    const std::function<void()> callback = std::move(callbacks[i]);
    callback();
  }
}

void queue_end_of_backward(std::function<void()> callback) {
  check(current_callbacks != nullptr,
        "queue_end_of_backward: no backward pass is running on this thread");
  current_callbacks->push_back(std::move(callback));
}

}  // namespace minidl::autograd
