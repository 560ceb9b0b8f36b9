#include "minidl/nn/graph/trace.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// Detached handles, like those that ops take of constants, are other tensors with the same
// elements.
bool same_elements(const Tensor& a, const Tensor& b) {
  return a.storage() == b.storage() && a.storage_offset() == b.storage_offset() &&
         a.dtype() == b.dtype() && a.shape() == b.shape() && a.strides() == b.strides();
}

// What a value was when the forward met it. Holding the tensor keeps its storage from being taken
// for a later one at the same address.
struct Known {
  Graph::Id id = Graph::kNone;
  Graph::Kind kind = Graph::Kind::result;
  std::string name;
  Tensor tensor;
  std::uint64_t version = 0;
};

class Tracer final : public OpObserver {
 public:
  Tracer(nn::ModuleBase& module, const Tensors& inputs) {
    add_own(module.named_parameters(), Graph::Kind::parameter);
    add_own(module.named_buffers(), Graph::Kind::buffer);
    for (const Tensor& input : inputs) add_input(input, inputs.size());
    for (const auto& [path, child] : module.named_modules()) {
      hooks_.push_back(child->register_forward_pre_hook(
          [this, path = path](nn::ModuleBase&, const Tensors&) { running_.push_back(path); }));
      hooks_.push_back(child->register_forward_hook(
          [this](nn::ModuleBase&, const Tensors&, const Tensors&) { running_.pop_back(); }));
    }
  }
  ~Tracer() override {
    for (HookHandle& hook : hooks_) hook.remove();
  }

  void on_op(const std::shared_ptr<const Op>& op, const Tensors& inputs,
             const Tensors& outputs) override {
    Graph::Step step{.op = op, .operands = {}, .results = {}, .module = {}};
    if (!running_.empty()) step.module = running_.back();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      step.operands.push_back(inputs[i].defined() ? operand(*op, i, inputs[i]) : Graph::kNone);
    }
    for (const Tensor& output : outputs) {
      const bool first = step.results.empty();
      const std::string name =
          first ? numbered(op->name())
                : unused(fmt::format("{}.{}", graph_.values[step.results[0]].name,
                                     step.results.size()));
      step.results.push_back(add_value(Graph::Kind::result, name, output));
      if (inputs[0].defined() && output.storage() == inputs[0].storage()) {
        graph_.values.back().spec.alias_offset = output.storage_offset();
      }
    }
    graph_.steps.push_back(std::move(step));
  }

  Graph finish(const Tensors& outputs) {
    check(!outputs.empty(), "trace: the module returned no tensor");
    for (const Tensor& output : outputs) {
      Known* known = find(output);
      if (known == nullptr) {
        fail(
            "trace: no recorded operation made output {}, {}; results must come from operations "
            "on this thread",
            graph_.outputs.size(), describe(output));
      }
      graph_.outputs.push_back(use(*known));
    }
    for (const Known& known : known_) check_unchanged(known);
    return std::move(graph_);
  }

 private:
  void add_own(const StateDict& tensors, Graph::Kind kind) {
    for (const auto& [name, tensor] : tensors) {
      if (find(tensor) != nullptr) continue;  // tied: the first name stands for both
      known_.push_back({.kind = kind,
                        .name = unused(name),
                        .tensor = tensor,
                        .version = tensor.storage().version()});
    }
  }

  void add_input(const Tensor& input, std::size_t count) {
    if (const Known* known = find(input)) {
      fail("trace: example {} is the same tensor as '{}'; give each input an example of its own",
           graph_.inputs.size(), known->name);
    }
    const bool plain = count == 1 && !names_.contains("input");
    graph_.inputs.push_back(
        add_value(Graph::Kind::input, plain ? unused("input") : numbered("input"), input));
  }

  Graph::Id operand(const Op& op, std::size_t index, const Tensor& tensor) {
    if (Known* known = find(tensor)) return use(*known);
    if (tensor.is_fake()) {
      fail(
          "trace: no recorded operation made operand {} of {}, {}; zeros_like and its like make "
          "fakes of fakes: give zeros(shape) and the like a shape instead",
          index, op.name(), describe(tensor));
    }
    return add_value(Graph::Kind::constant, numbered("constant"), tensor);
  }

  // The latest tensor first: where a reshape changes nothing, its result is meant.
  Known* find(const Tensor& tensor) {
    const auto by = [this](const auto& matches) -> Known* {
      const auto found = std::find_if(known_.rbegin(), known_.rend(), matches);
      return found == known_.rend() ? nullptr : &*found;
    };
    Known* same = by([&](const Known& known) { return known.tensor.is_same(tensor); });
    if (same != nullptr) return same;
    return by([&](const Known& known) { return same_elements(known.tensor, tensor); });
  }

  Graph::Id use(Known& known) {
    check_unchanged(known);
    if (known.id == Graph::kNone) known.id = push_value(known);
    return known.id;
  }

  Graph::Id add_value(Graph::Kind kind, const std::string& name, const Tensor& tensor) {
    Known known{
        .kind = kind, .name = name, .tensor = tensor, .version = tensor.storage().version()};
    known.id = push_value(known);
    known_.push_back(std::move(known));
    return known_.back().id;
  }

  Graph::Id push_value(const Known& known) {
    const bool has_elements = known.kind != Graph::Kind::input && known.kind != Graph::Kind::result;
    graph_.values.push_back({.name = known.name,
                             .kind = known.kind,
                             .spec = spec_of(known.tensor),
                             .tensor = has_elements ? known.tensor : Tensor()});
    return graph_.values.size() - 1;
  }

  static void check_unchanged(const Known& known) {
    const Storage& storage = known.tensor.storage();
    if (storage.version() == known.version) return;
    fail(
        "trace: '{}' was changed in place by {}, which a graph cannot hold; use an operation that "
        "returns a new tensor, and eval() for modules that keep statistics",
        known.name, storage.last_change());
  }

  // "conv2d_1", "conv2d_2", …
  std::string numbered(const std::string& base) {
    std::string name;
    do {
      name = fmt::format("{}_{}", base, ++numbers_[base]);
    } while (!names_.insert(name).second);
    return name;
  }
  std::string unused(const std::string& name) {
    return names_.insert(name).second ? name : numbered(name);
  }

  const NoGradGuard no_grad_;
  Graph graph_;
  std::vector<Known> known_;  // those without an id have not been used yet
  std::set<std::string> names_;
  std::map<std::string, int> numbers_;
  std::vector<std::string> running_;  // the modules whose forward is under way
  std::vector<HookHandle> hooks_;
};

}  // namespace

namespace detail {

Graph trace(nn::ModuleBase& module, const Tensors& inputs,
            const std::function<Tensors()>& forward) {
  Tracer tracer(module, inputs);
  return tracer.finish(forward());
}

}  // namespace detail
}  // namespace minidl
