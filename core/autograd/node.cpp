#include "minidl/core/autograd/node.h"

#include <algorithm>
#include <utility>

#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::autograd {
namespace {

std::uint64_t next_sequence() {
  static std::atomic<std::uint64_t> counter{0};
  return counter++;
}

constexpr std::uint64_t kRunFirst = std::uint64_t{1} << 63;
constexpr std::size_t kMaskBits = 32;  // of Saves: operands beyond it cannot be saved

thread_local const SavedTensorHooks* innermost_hooks = nullptr;

}  // namespace

// A long chain of nodes would overflow the stack if each destructor called the next: the outermost
// one destroys them all.
Node::~Node() {
  thread_local std::vector<std::shared_ptr<Node>>* doomed = nullptr;
  std::vector<std::shared_ptr<Node>> mine;
  const bool outermost = doomed == nullptr;
  if (outermost) doomed = &mine;
  for (Edge& edge : edges_) {
    if (edge.node) doomed->push_back(std::move(edge.node));
  }
  if (!outermost) return;
  while (!mine.empty()) {
    const std::shared_ptr<Node> node = std::move(mine.back());
    mine.pop_back();
  }
  doomed = nullptr;
}

HookHandle Node::add_hook(int output, Hook hook) {
  return hooks_[output].add(std::move(hook));
}

// Either the function or the tensor. What hooks return is theirs to vouch for: no version then.
struct SavedTensor::Packed {
  SavedTensorHooks::Unpack unpack;
  Tensor tensor;
  Storage storage;
  std::uint64_t version = 0;
};

SavedTensor::SavedTensor(const Tensor& tensor) {
  auto packed = std::make_shared<Packed>();
  const Tensor plain = tensor.detach();
  const SavedTensorHooks* hooks = innermost_hooks;
  for (; hooks != nullptr && !packed->unpack; hooks = hooks->outer_) {
    packed->unpack = hooks->pack_(plain);
  }
  if (!packed->unpack) {
    packed->tensor = plain;
    packed->storage = plain.storage();
    packed->version = plain.storage().version();
  }
  packed_ = std::move(packed);
}

Tensor SavedTensor::unpack(const char* op, const char* operand, int index) const {
  if (packed_->unpack) {
    const Tensor tensor = packed_->unpack();
    check(tensor.defined(), "{}: the saved-tensor hook gave nothing back for its {} {}", op,
          operand, index);
    return tensor;
  }
  const Storage& storage = packed_->storage;
  if (storage.version() == packed_->version) return packed_->tensor;
  fail(
      "{}: its {} {} ({}) was saved for backward and has since been changed in place by {}; use "
      "the out-of-place form or clone() it first",
      op, operand, index, describe(packed_->tensor),
      storage.last_change() == nullptr ? "an unnamed operation" : storage.last_change());
}

SavedTensorHooks::SavedTensorHooks(Pack pack) : pack_(std::move(pack)), outer_(innermost_hooks) {
  innermost_hooks = this;
}

SavedTensorHooks::~SavedTensorHooks() {
  innermost_hooks = outer_;
}

OpNode::OpNode(std::shared_ptr<const Op> op, const Tensors& inputs, const Tensors& outputs,
               TensorSpecs input_specs)
    : Node(next_sequence()),
      op_(std::move(op)),
      input_specs_(std::move(input_specs)),
      outputs_(static_cast<int>(outputs.size())) {
  std::vector<Edge> edges;
  for (const Tensor& tensor : inputs) {
    edges.push_back(gradient_edge(tensor));
    needs_grad_.push_back(edges.back().node != nullptr);
  }
  set_edges(std::move(edges));

  const Saves saves = op_->saves(needs_grad_);
  auto save = [](std::uint32_t mask, const Tensors& tensors, auto& saved) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (i < kMaskBits && (mask >> i & 1u) != 0 && tensors[i].defined()) {
        saved.emplace_back(static_cast<int>(i), SavedTensor(tensors[i]));
      }
    }
  };
  save(saves.inputs, inputs, saved_inputs_);
  save(saves.outputs, outputs, saved_outputs_);
}

// What one run of backward sees. Unpacks what was saved before anything is computed, so that hooks
// which bring tensors back do so in as little memory as possible, and lets go of it at the end.
class OpNode::Context final : public BackwardContext {
 public:
  explicit Context(const OpNode& node)
      : node_(node),
        inputs_(unpack(node.saved_inputs_, "input")),
        outputs_(unpack(node.saved_outputs_, "output")) {}
  int inputs() const override { return static_cast<int>(node_.input_specs_.size()); }
  bool needs_grad(int input) const override {
    return node_.needs_grad_[static_cast<std::size_t>(input)];
  }
  const TensorSpec& input_spec(int input) const override {
    return node_.input_specs_[static_cast<std::size_t>(input)];
  }
  Tensor input(int index) const override { return find(inputs_, "input", index); }
  Tensor output(int index) const override { return find(outputs_, "output", index); }

 private:
  using Operands = std::vector<std::pair<int, Tensor>>;

  Operands unpack(const Saved& saved, const char* operand) const {
    Operands operands;
    operands.reserve(saved.size());
    for (const auto& [index, tensor] : saved) {
      operands.emplace_back(index, tensor.unpack(node_.name(), operand, index));
    }
    return operands;
  }
  Tensor find(const Operands& operands, const char* operand, int index) const {
    for (const auto& [position, tensor] : operands) {
      if (position == index) return tensor;
    }
    fail("{}: backward reads its {} {}, which saves() did not name", node_.name(), operand, index);
  }

  const OpNode& node_;
  Operands inputs_;
  Operands outputs_;
};

Tensors OpNode::backward(const Tensors& grads) {
  Tensors result = op_->backward(Context(*this), grads);
  check(result.size() == input_specs_.size(), "returned {} gradients for {} inputs", result.size(),
        input_specs_.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (!result[i].defined() || !needs_grad_[i]) continue;
    const TensorSpec& input = input_specs_[i];
    check(result[i].shape() == input.shape && result[i].dtype() == input.dtype,
          "returned a gradient {}{} for input {}, which is {}{}", result[i].dtype(),
          result[i].shape(), i, input.dtype, input.shape);
  }
  return result;
}

void OpNode::release_saved() {
  released_ = true;
  saved_inputs_.clear();
  saved_outputs_.clear();
}

AccumulateGrad::AccumulateGrad(Tensor leaf)
    : Node(kRunFirst + next_sequence()), leaf_(std::move(leaf)) {}

Tensors AccumulateGrad::backward(const Tensors& grads) {
  TensorImpl& impl = leaf_.impl();
  Tensor grad = grads[0];
  impl.hooks.for_each([&grad](const Hook& hook) {
    if (const Tensor replaced = hook(grad); replaced.defined()) grad = replaced;
  });
  if (grad.shape() != impl.shape || grad.dtype() != impl.dtype || grad.device() != leaf_.device()) {
    fail("the gradient is {} but the leaf is {}", describe(grad), describe(leaf_));
  }
  if (impl.grad_valid) {
    impl.grad.add_(grad);
  } else {
    // Gradients take the parameter's layout, so that optimizers walk all their operands alike.
    if (!impl.grad.defined()) {
      impl.grad = empty_strided(impl.shape, strides_like(impl.shape, impl.strides),
                                {.dtype = impl.dtype, .device = leaf_.device()});
      impl.grad.set_memory_tag(MemoryTag::grad);
    }
    impl.grad.copy_(grad);
    impl.grad_valid = true;
  }
  impl.post_accumulate_hooks.for_each([this](const auto& hook) { hook(leaf_); });
  return {};
}

namespace {

class WatchGradients final : public Node {
 public:
  WatchGradients(const Tensors& tensors, std::function<void(const Tensors&)> report)
      : Node(next_sequence()), report_(std::move(report)) {
    std::vector<Edge> edges;
    for (const Tensor& tensor : tensors) edges.push_back(gradient_edge(tensor));
    set_edges(std::move(edges));
  }
  const char* name() const override { return "watch_gradients"; }
  int outputs() const override { return static_cast<int>(edges().size()); }
  Tensors backward(const Tensors& grads) override {
    report_(grads);
    return grads;
  }

 private:
  std::function<void(const Tensors&)> report_;
};

}  // namespace

Tensors watch_gradients(const Tensors& tensors, std::function<void(const Tensors&)> report) {
  const auto wants_grad = [](const Tensor& tensor) {
    return tensor.defined() && tensor.requires_grad();
  };
  if (!grad_enabled() || std::none_of(tensors.begin(), tensors.end(), wants_grad)) return tensors;
  const auto node = std::make_shared<WatchGradients>(tensors, std::move(report));
  Tensors watched = tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!wants_grad(tensors[i])) continue;
    watched[i] = tensors[i].detach();
    TensorImpl& impl = watched[i].impl();
    impl.requires_grad = true;
    impl.grad_fn = node;
    impl.output_index = static_cast<int>(i);
  }
  return watched;
}

Edge gradient_edge(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  TensorImpl& impl = tensor.impl();
  if (impl.grad_fn) return {impl.grad_fn, impl.output_index};
  if (!impl.requires_grad) return {};
  std::shared_ptr<Node> accumulator = impl.accumulator.lock();
  if (!accumulator) {
    accumulator = std::make_shared<AccumulateGrad>(tensor);
    impl.accumulator = accumulator;
  }
  return {std::move(accumulator), 0};
}

}  // namespace minidl::autograd
