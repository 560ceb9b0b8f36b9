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

thread_local std::vector<SavedTensorHooks::Pack> saved_tensor_hooks;

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

struct SavedTensor::Packed {
  Tensor tensor;  // undefined if hooks took it
  SavedTensorHooks::Unpack unpack;
  Storage storage;  // empty if hooks took the tensor: what they return is theirs to vouch for
  std::uint64_t version = 0;
};

SavedTensor::SavedTensor(const Tensor& tensor) {
  auto packed = std::make_shared<Packed>();
  if (!saved_tensor_hooks.empty()) {
    packed->unpack = saved_tensor_hooks.back()(tensor.detach());
  } else {
    packed->tensor = tensor.detach();
    packed->storage = tensor.storage();
    packed->version = tensor.storage().version();
  }
  packed_ = std::move(packed);
}

Tensor SavedTensor::unpack(const char* op, const char* operand, int index) const {
  if (packed_->unpack) return packed_->unpack();
  const Storage& storage = packed_->storage;
  if (storage.version() == packed_->version) return packed_->tensor;
  fail(
      "{}: its {} {} ({}) was saved for backward and has since been changed in place by {}; use "
      "the out-of-place form or clone() it first",
      op, operand, index, describe(packed_->tensor),
      storage.last_change() == nullptr ? "an unnamed operation" : storage.last_change());
}

SavedTensorHooks::SavedTensorHooks(Pack pack) {
  saved_tensor_hooks.push_back(std::move(pack));
}

SavedTensorHooks::~SavedTensorHooks() {
  saved_tensor_hooks.pop_back();
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

Tensors OpNode::backward(const Tensors& grads) {
  Tensors result = op_->backward(*this, grads);
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

bool OpNode::needs_grad(int input) const {
  return needs_grad_[static_cast<std::size_t>(input)];
}

const TensorSpec& OpNode::input_spec(int input) const {
  return input_specs_[static_cast<std::size_t>(input)];
}

namespace {

Tensor find_saved(const std::vector<std::pair<int, SavedTensor>>& saved, const char* op,
                  const char* operand, int index) {
  for (const auto& [position, tensor] : saved) {
    if (position == index) return tensor.unpack(op, operand, index);
  }
  fail("{}: backward reads its {} {}, which saves() did not name", op, operand, index);
}

}  // namespace

Tensor OpNode::input(int index) const {
  return find_saved(saved_inputs_, name(), "input", index);
}

Tensor OpNode::output(int index) const {
  return find_saved(saved_outputs_, name(), "output", index);
}

AccumulateGrad::AccumulateGrad(Tensor leaf)
    : Node(kRunFirst + next_sequence()), leaf_(std::move(leaf)) {}

Tensors AccumulateGrad::backward(const Tensors& grads) {
  TensorImpl& impl = leaf_.impl();
  Tensor grad = grads[0];
  impl.hooks.for_each([&grad](const Hook& hook) {
    if (const Tensor replaced = hook(grad); replaced.defined()) grad = replaced;
  });
  if (grad.shape() != impl.shape || grad.dtype() != impl.dtype) {
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
