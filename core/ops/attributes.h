// How the ops write down their attributes. Not part of the public interface.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "minidl/kernels/common/check.h"

namespace minidl {

/// "stride [2, 2], groups 4": for Op::attributes.
class Attributes {
 public:
  template <class T>
  Attributes& add(const char* name, const T& value) {
    text_ += fmt::format("{}{} {}", text_.empty() ? "" : ", ", name, printable(value));
    return *this;
  }
  /// Adds nothing where the value is the `usual` one.
  template <class T>
  Attributes& add(const char* name, const T& value, const std::type_identity_t<T>& usual) {
    return value == usual ? *this : add(name, value);
  }

  std::string text() const { return text_; }

 private:
  template <class T>
  static const T& printable(const T& value) {
    return value;
  }
  static std::string printable(double value) { return fmt::format("{:.6g}", value); }
  static Dims printable(const std::array<std::int64_t, 2>& value) { return Dims(value); }

  std::string text_;
};

}  // namespace minidl
