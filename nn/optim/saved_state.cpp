#include "minidl/nn/optim/saved_state.h"

#include <algorithm>

#include "minidl/core/factories.h"
#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::optim::detail {

void StateWriter::write(const std::string& key, double value) {
  write(key, tensor(value, {.dtype = f64, .device = cpu}));
}

void StateWriter::write(const std::string& key, std::int64_t value) {
  write(key, tensor(value, {.dtype = i64, .device = cpu}));
}

void StateWriter::write(const std::string& key, bool value) {
  write(key, tensor(value, {.dtype = boolean, .device = cpu}));
}

void StateWriter::write(const std::string& key, const Tensor& value) {
  entries_.push_back({owner_ + "." + key, value});
}

StateReader::StateReader(std::string owner, const StateDict& state)
    : owner_(std::move(owner)), state_(state) {
  check(!state_.empty(), "{}: the state is empty", owner_);
  for (const NamedTensor& entry : state_) {
    check(entry.name.starts_with(owner_ + "."),
          "{}: the state is not one of {}: it has '{}', but every entry would begin with '{}.'",
          owner_, owner_, entry.name, owner_);
  }
}

const Tensor* StateReader::find(const std::string& key) const {
  const std::string name = owner_ + "." + key;
  const auto found = std::find_if(state_.begin(), state_.end(),
                                  [&](const NamedTensor& entry) { return entry.name == name; });
  return found == state_.end() ? nullptr : &found->tensor;
}

const Tensor& StateReader::take(const std::string& key) {
  const Tensor* const found = find(key);
  check(found != nullptr, "{}: the state has no '{}.{}'", owner_, owner_, key);
  taken_.insert(owner_ + "." + key);
  return *found;
}

const Tensor& StateReader::take_number(const std::string& key, DType dtype) {
  const Tensor& number = take(key);
  if (number.dim() != 0 || number.dtype() != dtype || number.is_fake()) {
    fail("{}: '{}.{}' must be one number of {}, not {}", owner_, owner_, key, dtype,
         describe(number));
  }
  return number;
}

void StateReader::read(const std::string& key, double& value) {
  value = take_number(key, f64).item();
}

void StateReader::read(const std::string& key, std::int64_t& value) {
  value = *take_number(key, i64).to(cpu).data<std::int64_t>();
}

void StateReader::read(const std::string& key, bool& value) {
  value = take_number(key, boolean).item() != 0;
}

void StateReader::read(const std::string& key, const Tensor& value) {
  const Tensor& saved = take(key);
  if (saved.shape() != value.shape() || !saved.is_floating_point() || saved.is_fake()) {
    fail("{}: '{}.{}' is {}, but the parameter is {}", owner_, owner_, key, describe(saved),
         describe(value));
  }
  const NoGradGuard no_grad;
  value.copy_(saved);
}

void StateReader::expect(const std::string& key, std::int64_t value) {
  std::int64_t saved = 0;
  read(key, saved);
  check(saved == value, "{}: '{}.{}' is {} in the state and {} here", owner_, owner_, key, saved,
        value);
}

void StateReader::finish() const {
  for (const NamedTensor& entry : state_) {
    check(taken_.contains(entry.name),
          "{}: the state has '{}', and nothing here takes it; parameters must have the names, or "
          "the order, that they had when it was saved",
          owner_, entry.name);
  }
}

}  // namespace minidl::optim::detail
