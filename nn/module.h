// The building block of models: parameters, buffers, children and a forward function.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/module_path.h"
#include "minidl/core/profiler.h"
#include "minidl/core/state_dict.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/leaves.h"

namespace minidl::nn {

/// What load_state_dict found. The first three lists are empty after a clean load.
struct LoadReport {
  std::vector<std::string> missing;     ///< the model has it, the state does not
  std::vector<std::string> unexpected;  ///< the state has it, the model does not
  std::vector<std::string> mismatched;  ///< "name: the model has f32[2, 3], the state f32[3, 2]"
  std::vector<std::string> converted;   ///< "name: from f16 to f32"; loaded all the same

  bool clean() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  /// A line for each entry.
  std::string to_string() const;
};

/// Everything about a module that does not depend on what it computes. Derive from Module<Self>.
/// Parameters, buffers and children register themselves where they are declared:
///
///     struct Net : Module<Net> {
///       Linear fc{*this, "fc", {.in = 8, .out = 2}};
///       Tensor scale = register_parameter("scale", ones({2}));
///       Tensor forward(const Tensor& x) { return fc(x) * scale; }
///     };
class ModuleBase {
 public:
  ModuleBase() = default;
  virtual ~ModuleBase() = default;
  ModuleBase(const ModuleBase&) = delete;
  ModuleBase& operator=(const ModuleBase&) = delete;

  /// All parameters below this module, "conv.weight" and so on: its own first, then its children's.
  StateDict named_parameters() const;
  Tensors parameters() const;
  /// State that is saved but not trained, like running statistics.
  StateDict named_buffers() const;
  /// Every module below this one with its path; itself first, with an empty path.
  std::vector<std::pair<std::string, ModuleBase*>> named_modules();
  std::int64_t parameter_count() const;
  /// Calls `function` with every module below this one, children first, and with this one last.
  void apply(const std::function<void(ModuleBase&)>& function);

  /// Parameters and buffers, module by module. The tensors are the module's own, not copies.
  StateDict state_dict() const;
  /// Copies values in, converted to the module's dtypes (which the report lists) and device. With
  /// `strict`, throws Error listing everything missing, unexpected or of another shape, and changes
  /// nothing then.
  LoadReport load_state_dict(const StateDict& state, bool strict = true);

  /// Training mode: dropout drops, batch norm uses the batch's statistics. Modules start in it.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  void to(const Device& device);
  /// Converts floating-point parameters and buffers.
  void to(DType dtype);
  /// Freezes (false) or thaws all parameters below.
  void requires_grad_(bool value);
  void zero_grad();

  /// Forward of one tensor, for those who do not know the module's type. Throws Error where forward
  /// does not map a tensor to a tensor.
  virtual Tensor call(const Tensor& x) = 0;
  Tensor operator()(const Tensor& x) { return call(x); }

  using ForwardPreHook = std::function<void(ModuleBase& module, const Tensors& inputs)>;
  using ForwardHook =
      std::function<void(ModuleBase& module, const Tensors& inputs, const Tensors& outputs)>;
  /// Called before / after each forward with the tensors among its arguments and results.
  HookHandle register_forward_pre_hook(ForwardPreHook hook);
  HookHandle register_forward_hook(ForwardHook hook);

  using BackwardPreHook = std::function<void(ModuleBase& module, const Tensors& grad_outputs)>;
  using BackwardHook = std::function<void(ModuleBase& module, const Tensors& grad_inputs,
                                          const Tensors& grad_outputs)>;
  /// Called before the backward of each forward that was recorded, when the gradients of its
  /// results are complete. The lists match the tensors that forward hooks see; those without a
  /// gradient are undefined. The module must outlive the graph.
  HookHandle register_full_backward_pre_hook(BackwardPreHook hook);
  /// Called after it: the parameters that only this call used have their gradients. Needs an input
  /// that gets a gradient; where there is none (the first layer of a network) it is not called, and
  /// autograd::queue_end_of_backward serves instead.
  HookHandle register_full_backward_hook(BackwardHook hook);

  /// The name under which the parent knows this module; empty without a parent.
  const std::string& name() const { return name_; }

  /// Whether each call of this module is a checkpoint (core/autograd/checkpoint.h): nothing but its
  /// arguments and results waits for backward, which computes the rest a second time. For modules
  /// whose forward maps tensors to one tensor; calls of others throw Error. The module must outlive
  /// the graph.
  void set_checkpointed(bool on = true) { checkpointed_ = on; }
  bool checkpointed() const { return checkpointed_; }

  /// Makes `child` part of this module. Names are unique within a module and contain no dot. The
  /// child must live as long as this module.
  void register_module(std::string_view name, ModuleBase& child);

 protected:
  /// Makes `value` a parameter: a leaf that requires a gradient, counted as param memory. Returns
  /// it.
  Tensor register_parameter(std::string_view name, const Tensor& value);
  Tensor register_buffer(std::string_view name, const Tensor& value);

  // Of Module<Self>: what happens around a forward. The backward hooks of one call share a
  // BackwardCall; null if there are none to call.
  struct BackwardCall;
  bool has_hooks() const;
  std::shared_ptr<BackwardCall> begin_backward_hooks();
  Tensors watch_inputs(const std::shared_ptr<BackwardCall>& call, const Tensors& inputs);
  Tensors watch_outputs(const std::shared_ptr<BackwardCall>& call, const Tensors& outputs);
  void run_forward_pre_hooks(const Tensors& inputs);
  void run_forward_hooks(const Tensors& inputs, const Tensors& outputs);

  /// Throws Error with `reason` behind the module's name.
  [[noreturn]] void refuse_call(const char* reason) const;

 private:
  void check_name(std::string_view name) const;
  template <class Visit>
  void visit_tensors(const std::string& prefix, const Visit& visit) const;

  std::string name_;
  bool training_ = true;
  bool checkpointed_ = false;
  StateDict parameters_;
  StateDict buffers_;
  std::vector<std::pair<std::string, ModuleBase*>> children_;
  HookList<ForwardPreHook> forward_pre_hooks_;
  HookList<ForwardHook> forward_hooks_;
  HookList<BackwardPreHook> backward_pre_hooks_;
  HookList<BackwardHook> backward_hooks_;
};

/// Adds the call operator: hooks around Self::forward, which may take and return anything. Tensors,
/// and what holds them, it should take by value or by reference to const.
template <class Self>
class Module : public ModuleBase {
 public:
  template <class... Args>
  auto operator()(Args&&... args) {
    if (!checkpointed()) return run(std::forward<Args>(args)...);
    using Result = decltype(run(std::forward<Args>(args)...));
    if constexpr (sizeof...(Args) > 0 && (std::convertible_to<Args, Tensor> && ...) &&
                  std::same_as<Result, Tensor>) {
      return run_checkpointed(std::index_sequence_for<Args...>(), Tensors{args...});
    } else {
      refuse_call(
          "it cannot be checkpointed as a whole, because it does not map tensors to one tensor; "
          "call checkpoint() for parts of its forward");
    }
  }

  Tensor call(const Tensor& x) override {
    if constexpr (requires(Self & s) {
                    { s.forward(x) } -> std::convertible_to<Tensor>;
                  }) {
      return (*this)(x);
    } else {
      refuse_call("this module does not map one tensor to one tensor");
    }
  }

 private:
  template <class Arg>
  using Passed = std::conditional_t<holds_leaves<std::decay_t<Arg>>, std::decay_t<Arg>, Arg&&>;

  template <class... Args>
  auto run(Args&&... args) {
    const ModulePathScope path(name());
    const ProfileScope profile(ProfileEvent::Kind::module, name());
    try {
      if (!has_hooks()) return self().forward(std::forward<Args>(args)...);
      // A copy of what holds tensors, for backward hooks to put others in their place.
      return call_with_hooks<std::tuple<Passed<Args>...>>(std::forward<Args>(args)...);
    } catch (Error& error) {
      if (!name().empty()) error.add_module(name());
      throw;
    }
  }

  template <std::size_t... Index>
  Tensor run_checkpointed(std::index_sequence<Index...> /*of the arguments*/,
                          const Tensors& inputs) {
    const auto body = [this](const Tensors& args) { return Tensors{run(args[Index]...)}; };
    return checkpoint(body, inputs).front();
  }

  template <class Arguments, class... Args>
  auto call_with_hooks(Args&&... args) {
    Arguments arguments{std::forward<Args>(args)...};
    const auto apply_to = [&arguments](auto&& function) { return std::apply(function, arguments); };
    const std::shared_ptr<BackwardCall> backward = begin_backward_hooks();
    apply_to(
        [&](auto&... own) { replace_leaves(watch_inputs(backward, leaves_of(own...)), own...); });
    const Tensors inputs = apply_to([](auto&... own) { return leaves_of(own...); });
    run_forward_pre_hooks(inputs);
    const auto forward = [this](auto&... own) {
      return self().forward(std::forward<Args>(own)...);
    };
    if constexpr (std::is_void_v<decltype(apply_to(forward))>) {
      apply_to(forward);
      run_forward_hooks(inputs, {});
    } else {
      auto result = apply_to(forward);
      replace_leaves(watch_outputs(backward, leaves_of(result)), result);
      run_forward_hooks(inputs, leaves_of(result));
      return result;
    }
  }

  Self& self() { return static_cast<Self&>(*this); }
};

}  // namespace minidl::nn
