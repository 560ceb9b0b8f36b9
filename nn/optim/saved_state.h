// How optimizers and schedulers turn what they remember into named tensors, and back.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>

#include "minidl/core/state_dict.h"

namespace minidl::optim::detail {

/// Collects entries "OWNER.key". Numbers become tensors without dimensions on the CPU: f64, i64 and
/// bool.
class StateWriter {
 public:
  explicit StateWriter(std::string owner) : owner_(std::move(owner)) {}

  void write(const std::string& key, double value);
  void write(const std::string& key, std::int64_t value);
  void write(const std::string& key, bool value);
  void write(const std::string& key, const Tensor& value);

  const StateDict& entries() const { return entries_; }

 private:
  std::string owner_;
  StateDict entries_;
};

/// Gives back what StateWriter took. Errors begin with the owner and name the entry. `state` must
/// outlive the reader.
class StateReader {
 public:
  /// Throws Error if the state is empty or has entries of another owner.
  StateReader(std::string owner, const StateDict& state);

  bool has(const std::string& key) const { return find(key) != nullptr; }

  // Throw Error if there is no such entry, or one of another kind or shape.
  void read(const std::string& key, double& value);
  void read(const std::string& key, std::int64_t& value);
  void read(const std::string& key, bool& value);
  /// Overwrites the elements of `value`, converting them.
  void read(const std::string& key, const Tensor& value);
  /// Throws Error unless the entry is this number.
  void expect(const std::string& key, std::int64_t value);

  /// Throws Error if there are entries that nobody asked for.
  void finish() const;

 private:
  const Tensor* find(const std::string& key) const;
  const Tensor& take(const std::string& key);
  const Tensor& take_number(const std::string& key, DType dtype);

  std::string owner_;
  const StateDict& state_;
  std::set<std::string> taken_;
};

/// A member of a class and its name in saved states, which is PyTorch's where it has one.
template <class Class, class Value>
struct Field {
  constexpr Field(const char* field_name, Value Class::*field) : name(field_name), member(field) {}
  const char* name;
  Value Class::*member;
};

/// A tuple of the fields of an optimizer's options, or of what it keeps for a parameter.
template <class Class>
inline constexpr auto kFields = std::tuple<>();

/// Calls visit(name, member) for every field.
template <class Class, class Visit>
void for_each_field(Class& object, const Visit& visit) {
  std::apply([&](const auto&... field) { (visit(field.name, object.*field.member), ...); },
             kFields<std::remove_const_t<Class>>);
}

}  // namespace minidl::optim::detail
