// Modules made of modules that they own.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "minidl/nn/module.h"

namespace minidl::nn {

/// Owns modules numbered "0", "1", …
template <class Self>
class ModuleSequence : public Module<Self> {
 public:
  /// Makes an M from `args` at the end and returns it.
  template <class M, class... Args>
  M& append(Args&&... args) {
    auto module = std::make_unique<M>(std::forward<Args>(args)...);
    M& added = *module;
    this->register_module(std::to_string(modules_.size()), added);
    modules_.push_back(std::move(module));
    return added;
  }

  std::size_t size() const { return modules_.size(); }
  ModuleBase& operator[](std::size_t i) const { return *modules_.at(i); }

 private:
  std::vector<std::unique_ptr<ModuleBase>> modules_;
};

/// Runs its modules one after the other, each on the result of the one before.
///
///     Sequential net;
///     net.append<Linear>(LinearOptions{.in = 8, .out = 8});
///     net.append<ReLU>();
class Sequential : public ModuleSequence<Sequential> {
 public:
  Sequential() = default;
  Sequential(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }

  /// Every piece from one of these modules, given by its number, up to the next is a checkpoint
  /// from now on (core/autograd/checkpoint.h); none if there are no starts. {0} is the whole.
  /// Throws Error unless they ascend and there are such modules.
  void set_checkpoints(std::vector<std::size_t> starts);

  Tensor forward(const Tensor& x);

 private:
  Tensor run(const Tensor& x, std::size_t begin, std::size_t end) const;

  std::vector<std::size_t> checkpoints_;
};

/// Modules that the owner runs as it likes.
class ModuleList : public ModuleSequence<ModuleList> {
 public:
  ModuleList() = default;
  ModuleList(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }

  Tensor call(const Tensor& /*x*/) override {
    refuse_call("a ModuleList is not a function; call its modules");
  }
};

}  // namespace minidl::nn
