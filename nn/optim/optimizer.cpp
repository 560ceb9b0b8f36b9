#include "minidl/nn/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/norm.h"

namespace minidl::optim {

void Optimizer::zero_grad() {
  for (const NamedTensor& parameter : parameters_) parameter.tensor.zero_grad();
}

StateDict Optimizer::add_parameters(const ParameterList& parameters) {
  check(!parameters.entries().empty(), "optimizer: the list of parameters is empty");
  StateDict all = parameters_;
  for (const auto& [given_name, parameter] : parameters.entries()) {
    check(
        parameter.defined() && parameter.is_leaf(),
        "optimizer: {} is not a parameter but the result of an operation; only leaves are updated",
        describe(parameter));
    const std::string unique = given_name.empty() ? std::to_string(all.size()) : given_name;
    for (const NamedTensor& other : all) {
      check(!other.tensor.is_same(parameter), "optimizer: parameter {} was given twice",
            describe(parameter));
      check(other.name != unique, "optimizer: two parameters are named '{}'", unique);
    }
    all.push_back({unique, parameter});
  }
  std::swap(parameters_, all);
  return {parameters_.begin() + static_cast<std::ptrdiff_t>(all.size()), parameters_.end()};
}

Tensors Optimizer::parameters() const {
  Tensors result;
  result.reserve(parameters_.size());
  for (const NamedTensor& parameter : parameters_) result.push_back(parameter.tensor);
  return result;
}

namespace detail {

void check_not_negative(const char* optimizer, const char* option, double value) {
  check(std::isfinite(value) && value >= 0,
        "{}: {} must be a finite number that is not negative, not {}", optimizer, option, value);
}

void check_fraction(const char* optimizer, const char* option, double value) {
  check(value >= 0 && value < 1, "{}: {} must be at least 0 and below 1, not {}", optimizer, option,
        value);
}

Tensor make_state(const Tensor& parameter) {
  return zeros_like(parameter).set_memory_tag(MemoryTag::optimizer);
}

Tensor l2_norm(const Tensor& x) {
  const Tensor norm = empty({}, {.dtype = x.dtype(), .device = x.device()});
  ExecContext ctx = context_for(x);
  kernels::l2_norm(ctx, x.view(), norm.view());
  return norm;
}

void check_state(const char* optimizer, const Tensor& parameter, const Tensor& state) {
  if (state.shape() == parameter.shape() && state.dtype() == parameter.dtype() &&
      state.device() == parameter.device()) {
    return;
  }
  fail(
      "{}: a parameter is {} but was {} in earlier steps; make a new optimizer after converting a "
      "model",
      optimizer, describe(parameter), describe(state));
}

}  // namespace detail
}  // namespace minidl::optim
