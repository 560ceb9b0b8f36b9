// What all optimizers share: groups of parameters with options of their own.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/state_dict.h"
#include "minidl/core/tensor.h"
#include "minidl/nn/optim/saved_state.h"

namespace minidl::optim {

/// Parameters for an optimizer: `net.parameters()`, or `net.named_parameters()`, whose names then
/// stand in saved states.
class ParameterList {
 public:
  ParameterList() = default;
  // NOLINTBEGIN(google-explicit-constructor)
  ParameterList(std::initializer_list<Tensor> parameters) : ParameterList(Tensors(parameters)) {}
  ParameterList(const Tensors& parameters) {
    for (const Tensor& parameter : parameters) entries_.push_back({"", parameter});
  }
  ParameterList(const StateDict& named) : entries_(named) {}
  // NOLINTEND(google-explicit-constructor)

  const StateDict& entries() const { return entries_; }  ///< without names: empty ones

 private:
  StateDict entries_;
};

/// Updates parameters from their gradients. Parameters without a valid gradient are left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One update of every parameter. Nothing is recorded.
  virtual void step() = 0;
  /// Marks all gradients as absent; their memory is kept for the next backward.
  void zero_grad();

  /// Every group's parameters, one after the other.
  Tensors parameters() const;

  /// The learning rate of the first group.
  virtual double lr() const = 0;
  /// Scales every group: a group made with learning rate r gets factor * r from now on. Schedulers
  /// call this.
  virtual void set_lr_factor(double factor) = 0;

  /// "AdamW": in errors and in saved states.
  virtual const char* name() const = 0;

  /// What another optimizer needs to go on from here: "AdamW.param_groups.0.lr" and every other
  /// option of each group, "AdamW.state.fc.weight.exp_avg" and so on for each parameter that was
  /// ever updated, "AdamW.lr_factor". Parameters that came without a name have their number
  /// instead, counted over all groups. Numbers are tensors without dimensions (f64, i64, bool); the
  /// others are the optimizer's own, not copies. `save(optimizer, path)` writes it to a file.
  virtual StateDict state_dict() const = 0;
  /// Goes on from where `state` was taken, with its options: groups must have as many parameters as
  /// they had, under the same names or else in the same order. Copies, converted to dtype and
  /// device of each parameter. Throws Error, and changes nothing, where anything does not fit: a
  /// state of another optimizer, entries that are missing, of another shape, or too many.
  virtual void load_state_dict(const StateDict& state) = 0;

 protected:
  /// Throws Error unless every one is a defined leaf, and is new here. Frozen ones may be among
  /// them: without a gradient they stay as they are.
  /// Returns them with the names that they have from now on.
  StateDict add_parameters(const ParameterList& parameters);

 private:
  StateDict parameters_;
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

/// What an optimizer with the given options keeps for each parameter. Options has a member lr; both
/// have their detail::kFields.
template <class Options, class State>
class GroupedOptimizer : public Optimizer {
 public:
  /// Parameters with options of their own.
  void add_group(const ParameterList& parameters, const Options& options) {
    check_options(options);
    Group group{.options = options, .slots = {}};
    for (const NamedTensor& parameter : add_parameters(parameters)) {
      group.slots.push_back({parameter.name, parameter.tensor, State{}});
    }
    groups_.push_back(std::move(group));
  }

  double lr() const override { return groups_.front().options.lr * lr_factor_; }
  void set_lr_factor(double factor) override { lr_factor_ = factor; }

  StateDict state_dict() const override {
    detail::StateWriter writer(name());
    writer.write(kFactor, lr_factor_);
    writer.write(kGroups, static_cast<std::int64_t>(groups_.size()));
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      const Group& group = groups_[i];
      const std::string prefix = prefix_of(i);
      writer.write(prefix + kParameters, static_cast<std::int64_t>(group.slots.size()));
      detail::for_each_field(group.options, [&](const char* field, const auto& value) {
        writer.write(prefix + field, value);
      });
      for (const Slot& slot : group.slots) {
        if (is_fresh(slot.state)) continue;
        detail::for_each_field(slot.state, [&](const char* field, const auto& value) {
          writer.write(prefix_of(slot) + field, value);
        });
      }
    }
    return writer.entries();
  }

  void load_state_dict(const StateDict& state) override {
    detail::StateReader reader(name(), state);
    double factor = 1;
    reader.read(kFactor, factor);
    reader.expect(kGroups, static_cast<std::int64_t>(groups_.size()));
    std::vector<Group> groups = groups_;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      Group& group = groups[i];
      const std::string prefix = prefix_of(i);
      reader.expect(prefix + kParameters, static_cast<std::int64_t>(group.slots.size()));
      detail::for_each_field(group.options, [&](const char* field, auto& value) {
        reader.read(prefix + field, value);
      });
      check_options(group.options);
      for (Slot& slot : group.slots) read_state(reader, slot);
    }
    reader.finish();
    groups_ = std::move(groups);
    lr_factor_ = factor;
  }

 protected:
  struct Slot {
    std::string name;
    Tensor parameter;
    State state;
  };

  /// Throws Error where an option is out of range.
  virtual void check_options(const Options& options) const = 0;

  /// Calls `update(options, lr, slot, grad)` for every parameter with a gradient; `name` is what
  /// errors call the change.
  template <class Update>
  void for_each_gradient(const char* step_name, const Update& update) {
    for (Group& group : groups_) {
      for (Slot& slot : group.slots) {
        const Tensor grad = slot.parameter.grad();
        if (!grad.defined()) continue;
        update(group.options, group.options.lr * lr_factor_, slot, grad);
        slot.parameter.storage().bump_version(step_name);
      }
    }
  }

 private:
  struct Group {
    Options options;
    std::vector<Slot> slots;
  };

  static constexpr const char* kFactor = "lr_factor";
  static constexpr const char* kGroups = "param_groups";
  static constexpr const char* kParameters = "parameters";

  static std::string prefix_of(std::size_t group) {
    return std::string(kGroups) + "." + std::to_string(group) + ".";
  }
  static std::string prefix_of(const Slot& slot) { return "state." + slot.name + "."; }

  // Whether the parameter was never updated: then there are no tensors.
  static bool is_fresh(const State& state) {
    bool fresh = true;
    detail::for_each_field(state, [&fresh](const char*, const auto& value) {
      if constexpr (std::is_same_v<decltype(value), const Tensor&>) {
        if (value.defined()) fresh = false;
      }
    });
    return fresh;
  }

  // All fields of a parameter are there, or none.
  static void read_state(detail::StateReader& reader, Slot& slot) {
    const std::string prefix = prefix_of(slot);
    slot.state = State{};
    bool fresh = true;
    detail::for_each_field(slot.state, [&](const char* field, const auto&) {
      if (reader.has(prefix + field)) fresh = false;
    });
    if (fresh) return;
    detail::for_each_field(slot.state, [&](const char* field, auto& value) {
      if constexpr (std::is_same_v<decltype(value), Tensor&>) {
        value = detail::make_state(slot.parameter);
      }
      reader.read(prefix + field, value);
    });
  }

  std::vector<Group> groups_;
  double lr_factor_ = 1;
};

}  // namespace minidl::optim
