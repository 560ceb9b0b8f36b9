// What all optimizers share: groups of parameters with options of their own.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::optim {

/// Updates parameters from their gradients. Parameters without a valid gradient are left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One update of every parameter. Nothing is recorded.
  virtual void step() = 0;
  /// Marks all gradients as absent; their memory is kept for the next backward.
  void zero_grad();

  /// Every group's parameters.
  const Tensors& parameters() const { return parameters_; }

  /// The learning rate of the first group.
  virtual double lr() const = 0;
  /// Scales every group: a group made with learning rate r gets factor * r from now on. Schedulers
  /// call this.
  virtual void set_lr_factor(double factor) = 0;

 protected:
  /// Throws Error unless every one is a defined leaf that requires a gradient, and is new here.
  void add_parameters(const Tensors& parameters);

 private:
  Tensors parameters_;
};

/// What an optimizer with the given options keeps for each parameter. Options has a member lr.
template <class Options, class State>
class GroupedOptimizer : public Optimizer {
 public:
  double lr() const override { return groups_.front().options.lr * lr_factor_; }
  void set_lr_factor(double factor) override { lr_factor_ = factor; }

 protected:
  struct Slot {
    Tensor parameter;
    State state;
  };

  void append_group(const Tensors& parameters, const Options& options) {
    add_parameters(parameters);
    Group group{.options = options, .slots = {}};
    for (const Tensor& parameter : parameters) group.slots.push_back({parameter, State{}});
    groups_.push_back(std::move(group));
  }

  /// Calls `update(options, lr, slot, grad)` for every parameter with a gradient; `name` is what
  /// errors call the change.
  template <class Update>
  void for_each_gradient(const char* name, const Update& update) {
    for (Group& group : groups_) {
      for (Slot& slot : group.slots) {
        const Tensor grad = slot.parameter.grad();
        if (!grad.defined()) continue;
        update(group.options, group.options.lr * lr_factor_, slot, grad);
        slot.parameter.storage().bump_version(name);
      }
    }
  }

 private:
  struct Group {
    Options options;
    std::vector<Slot> slots;
  };
  std::vector<Group> groups_;
  double lr_factor_ = 1;
};

namespace detail {

/// Throws Error naming the optimizer and the option unless value is finite and not negative.
void check_not_negative(const char* optimizer, const char* option, double value);
/// The same for the range [0, 1).
void check_fraction(const char* optimizer, const char* option, double value);

/// Zeros in the layout of `parameter`, counted as optimizer memory.
Tensor make_state(const Tensor& parameter);
/// The root of the sum of x^2: a scalar on x's device, f32 or f64 as x is. Nothing is recorded.
Tensor l2_norm(const Tensor& x);
/// Throws Error if `parameter` was converted or reshaped after make_state gave `state` for it.
void check_state(const char* optimizer, const Tensor& parameter, const Tensor& state);

}  // namespace detail
}  // namespace minidl::optim
