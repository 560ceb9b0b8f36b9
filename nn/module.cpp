#include "minidl/nn/module.h"

#include <algorithm>
#include <utility>

#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

std::string LoadReport::to_string() const {
  std::string text;
  auto list = [&text](const char* what, const std::vector<std::string>& names) {
    for (const std::string& name : names) text += fmt::format("  {} {}\n", what, name);
  };
  list("missing", missing);
  list("unexpected", unexpected);
  list("mismatched", mismatched);
  list("converted", converted);
  return text;
}

void ModuleBase::check_name(std::string_view name) const {
  check(!name.empty() && name.find('.') == std::string_view::npos,
        "'{}' cannot name a part of a module: names are not empty and contain no dot", name);
  auto same = [name](const auto& entry) { return entry.name == name; };
  const bool taken = std::any_of(parameters_.begin(), parameters_.end(), same) ||
                     std::any_of(buffers_.begin(), buffers_.end(), same) ||
                     std::any_of(children_.begin(), children_.end(),
                                 [name](const auto& child) { return child.first == name; });
  check(!taken, "a module cannot have two parts named '{}'", name);
}

Tensor ModuleBase::register_parameter(std::string_view name, const Tensor& value) {
  check_name(name);
  const Tensor parameter = value.detach();
  parameter.set_requires_grad().set_memory_tag(MemoryTag::param);
  parameters_.push_back({std::string(name), parameter});
  return parameter;
}

Tensor ModuleBase::register_buffer(std::string_view name, const Tensor& value) {
  check_name(name);
  const Tensor buffer = value.detach();
  buffer.set_memory_tag(MemoryTag::param);
  buffers_.push_back({std::string(name), buffer});
  return buffer;
}

void ModuleBase::register_module(std::string_view name, ModuleBase& child) {
  check_name(name);
  check(child.name_.empty(), "module '{}' already belongs to another module, as '{}'", name,
        child.name_);
  child.name_ = name;
  children_.emplace_back(name, &child);
}

void ModuleBase::refuse_call(const char* reason) const {
  Error error(reason);
  if (!name_.empty()) error.add_module(name_);
  throw Error(error);
}

template <class Visit>
void ModuleBase::visit_tensors(const std::string& prefix, const Visit& visit) const {
  for (const NamedTensor& entry : parameters_) visit(prefix + entry.name, entry.tensor, true);
  for (const NamedTensor& entry : buffers_) visit(prefix + entry.name, entry.tensor, false);
  for (const auto& [child_name, child] : children_) {
    child->visit_tensors(prefix + child_name + ".", visit);
  }
}

StateDict ModuleBase::named_parameters() const {
  StateDict result;
  visit_tensors("", [&result](const std::string& name, const Tensor& tensor, bool parameter) {
    if (parameter) result.push_back({name, tensor});
  });
  return result;
}

Tensors ModuleBase::parameters() const {
  Tensors result;
  for (const NamedTensor& entry : named_parameters()) result.push_back(entry.tensor);
  return result;
}

StateDict ModuleBase::named_buffers() const {
  StateDict result;
  visit_tensors("", [&result](const std::string& name, const Tensor& tensor, bool parameter) {
    if (!parameter) result.push_back({name, tensor});
  });
  return result;
}

std::vector<std::pair<std::string, ModuleBase*>> ModuleBase::named_modules() {
  std::vector<std::pair<std::string, ModuleBase*>> result{{"", this}};
  for (const auto& [child_name, child] : children_) {
    for (const auto& [path, module] : child->named_modules()) {
      result.emplace_back(path.empty() ? child_name : child_name + "." + path, module);
    }
  }
  return result;
}

void ModuleBase::apply(const std::function<void(ModuleBase&)>& function) {
  for (const auto& [child_name, child] : children_) child->apply(function);
  function(*this);
}

std::int64_t ModuleBase::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters()) count += parameter.numel();
  return count;
}

StateDict ModuleBase::state_dict() const {
  StateDict result;
  visit_tensors("", [&result](const std::string& name, const Tensor& tensor, bool) {
    result.push_back({name, tensor.detach()});
  });
  return result;
}

LoadReport ModuleBase::load_state_dict(const StateDict& state, bool strict) {
  LoadReport report;
  auto find = [](const StateDict& where, const std::string& name) {
    return std::find_if(where.begin(), where.end(),
                        [&name](const NamedTensor& entry) { return entry.name == name; });
  };
  const StateDict own = state_dict();
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [name, tensor] : own) {
    const auto found = find(state, name);
    if (found == state.end()) {
      report.missing.push_back(name);
    } else if (found->tensor.is_fake() && !tensor.is_fake()) {
      fail("load_state_dict: '{}' of the state has no elements: {}", name, describe(found->tensor));
    } else if (found->tensor.shape() != tensor.shape()) {
      report.mismatched.push_back(fmt::format("{}: the model has {}{}, the state {}{}", name,
                                              tensor.dtype(), tensor.shape(), found->tensor.dtype(),
                                              found->tensor.shape()));
    } else {
      copies.emplace_back(tensor, found->tensor);
      const DType from = found->tensor.dtype();
      if (from == tensor.dtype()) continue;
      report.converted.push_back(fmt::format("{}: from {} to {}", name, from, tensor.dtype()));
    }
  }
  for (const auto& entry : state) {
    if (find(own, entry.name) == own.end()) report.unexpected.push_back(entry.name);
  }
  check(!strict || report.clean(), "load_state_dict: the state does not fit the model:\n{}",
        report.to_string());
  const NoGradGuard no_grad;
  for (const auto& [target, source] : copies) target.copy_(source);
  return report;
}

void ModuleBase::train(bool on) {
  training_ = on;
  for (const auto& child : children_) child.second->train(on);
}

void ModuleBase::to(const Device& device) {
  const NoGradGuard no_grad;
  visit_tensors("", [&device](const std::string&, const Tensor& tensor, bool) {
    if (tensor.device() == device) return;
    tensor.set_data(tensor.to(device));
    tensor.set_memory_tag(MemoryTag::param);
  });
}

void ModuleBase::to(DType dtype) {
  check(is_floating_point(dtype), "to: parameters are floating-point numbers, not {}", dtype);
  const NoGradGuard no_grad;
  visit_tensors("", [dtype](const std::string&, const Tensor& tensor, bool) {
    if (tensor.dtype() == dtype || !tensor.is_floating_point()) return;
    tensor.set_data(tensor.to(dtype));
    tensor.set_memory_tag(MemoryTag::param);
  });
}

void ModuleBase::requires_grad_(bool value) {
  for (const Tensor& parameter : parameters()) parameter.set_requires_grad(value);
}

void ModuleBase::zero_grad() {
  for (const Tensor& parameter : parameters()) parameter.zero_grad();
}

HookHandle ModuleBase::register_forward_pre_hook(ForwardPreHook hook) {
  return forward_pre_hooks_.add(std::move(hook));
}

HookHandle ModuleBase::register_forward_hook(ForwardHook hook) {
  return forward_hooks_.add(std::move(hook));
}

HookHandle ModuleBase::register_full_backward_pre_hook(BackwardPreHook hook) {
  return backward_pre_hooks_.add(std::move(hook));
}

HookHandle ModuleBase::register_full_backward_hook(BackwardHook hook) {
  return backward_hooks_.add(std::move(hook));
}

bool ModuleBase::has_hooks() const {
  return !forward_pre_hooks_.empty() || !forward_hooks_.empty() || !backward_pre_hooks_.empty() ||
         !backward_hooks_.empty();
}

void ModuleBase::run_forward_pre_hooks(const Tensors& inputs) {
  forward_pre_hooks_.for_each([&](const ForwardPreHook& hook) { hook(*this, inputs); });
}

void ModuleBase::run_forward_hooks(const Tensors& inputs, const Tensors& outputs) {
  forward_hooks_.for_each([&](const ForwardHook& hook) { hook(*this, inputs, outputs); });
}

struct ModuleBase::BackwardCall {
  bool has_input_hooks = false;
  Tensors grad_outputs;  // kept from the results' gradients until the inputs' are there, too
};

std::shared_ptr<ModuleBase::BackwardCall> ModuleBase::begin_backward_hooks() {
  const bool none = backward_pre_hooks_.empty() && backward_hooks_.empty();
  return none || !grad_enabled() ? nullptr : std::make_shared<BackwardCall>();
}

Tensors ModuleBase::watch_inputs(const std::shared_ptr<BackwardCall>& call, const Tensors& inputs) {
  if (!call || backward_hooks_.empty()) return inputs;
  call->has_input_hooks = std::any_of(inputs.begin(), inputs.end(),
                                      [](const Tensor& input) { return input.requires_grad(); });
  return autograd::watch_gradients(inputs, [this, call](const Tensors& grad_inputs) {
    const Tensors nothing(call->grad_outputs.size());
    const Tensors grad_outputs = std::exchange(call->grad_outputs, nothing);
    backward_hooks_.for_each(
        [&](const BackwardHook& hook) { hook(*this, grad_inputs, grad_outputs); });
  });
}

Tensors ModuleBase::watch_outputs(const std::shared_ptr<BackwardCall>& call,
                                  const Tensors& outputs) {
  if (!call) return outputs;
  call->grad_outputs.resize(outputs.size());
  return autograd::watch_gradients(outputs, [this, call](const Tensors& grad_outputs) {
    if (call->has_input_hooks) call->grad_outputs = grad_outputs;
    backward_pre_hooks_.for_each([&](const BackwardPreHook& hook) { hook(*this, grad_outputs); });
  });
}

}  // namespace minidl::nn
