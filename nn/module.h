// The building block of models: parameters, buffers, children and a forward function.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "minidl/core/state_dict.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/leaves.h"

namespace minidl::nn {

/// What load_state_dict found. Every list is empty after a clean load.
struct LoadReport {
  std::vector<std::string> missing;     ///< the model has it, the state does not
  std::vector<std::string> unexpected;  ///< the state has it, the model does not
  std::vector<std::string> mismatched;  ///< "name: the model has f32[2, 3], the state f32[3, 2]"

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

  /// Parameters and buffers, module by module. The tensors are the module's own, not copies.
  StateDict state_dict() const;
  /// Copies values in (converted to the module's dtype and device). With `strict`, throws Error
  /// listing everything missing, unexpected or of another shape, and changes nothing then.
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
  void register_forward_pre_hook(ForwardPreHook hook);
  void register_forward_hook(ForwardHook hook);

  /// The name under which the parent knows this module; empty without a parent.
  const std::string& name() const { return name_; }

  /// Makes `child` part of this module. Names are unique within a module and contain no dot. The
  /// child must live as long as this module.
  void register_module(std::string_view name, ModuleBase& child);

 protected:
  /// Makes `value` a parameter: a leaf that requires a gradient, counted as param memory. Returns
  /// it.
  Tensor register_parameter(std::string_view name, const Tensor& value);
  Tensor register_buffer(std::string_view name, const Tensor& value);

  const std::vector<ForwardPreHook>& forward_pre_hooks() const { return forward_pre_hooks_; }
  const std::vector<ForwardHook>& forward_hooks() const { return forward_hooks_; }

  /// Throws Error with `reason` behind the module's name.
  [[noreturn]] void refuse_call(const char* reason) const;

 private:
  void check_name(std::string_view name) const;
  template <class Visit>
  void visit_tensors(const std::string& prefix, const Visit& visit) const;

  std::string name_;
  bool training_ = true;
  StateDict parameters_;
  StateDict buffers_;
  std::vector<std::pair<std::string, ModuleBase*>> children_;
  std::vector<ForwardPreHook> forward_pre_hooks_;
  std::vector<ForwardHook> forward_hooks_;
};

/// Adds the call operator: hooks around Self::forward, which may take and return anything.
template <class Self>
class Module : public ModuleBase {
 public:
  template <class... Args>
  auto operator()(Args&&... args) {
    try {
      if (forward_pre_hooks().empty() && forward_hooks().empty()) {
        return self().forward(std::forward<Args>(args)...);
      }
      const Tensors inputs = leaves_of(args...);
      for (const ForwardPreHook& hook : forward_pre_hooks()) hook(*this, inputs);
      if constexpr (std::is_void_v<decltype(self().forward(std::forward<Args>(args)...))>) {
        self().forward(std::forward<Args>(args)...);
        for (const ForwardHook& hook : forward_hooks()) hook(*this, inputs, {});
      } else {
        auto result = self().forward(std::forward<Args>(args)...);
        for (const ForwardHook& hook : forward_hooks()) hook(*this, inputs, leaves_of(result));
        return result;
      }
    } catch (Error& error) {
      if (!name().empty()) error.add_module(name());
      throw;
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
  Self& self() { return static_cast<Self&>(*this); }
};

}  // namespace minidl::nn
