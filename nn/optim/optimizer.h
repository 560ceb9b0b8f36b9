// What all optimizers share: groups of parameters with options of their own.
#pragma once

#include <cstdint>
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

namespace detail {

/// Throws Error naming the optimizer and the option unless value is finite and not negative.
void check_not_negative(const char* optimizer, const char* option, double value);
/// The same for the range [0, 1).
void check_fraction(const char* optimizer, const char* option, double value);

/// Zeros in the layout of `parameter`, counted as optimizer memory.
Tensor make_state(const Tensor& parameter);
/// Throws Error if `parameter` was converted or reshaped after make_state gave `state` for it.
void check_state(const char* optimizer, const Tensor& parameter, const Tensor& state);

}  // namespace detail
}  // namespace minidl::optim
