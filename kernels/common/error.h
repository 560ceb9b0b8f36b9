// The one exception type that minidl throws.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace minidl {

/// Everything minidl refuses is reported as an Error: what() names the operation, the offending
/// value and what to do about it. Modules add their names while it travels up ("features.3: conv2d:
/// …"); `dist::run` says which rank it happened on.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message), what_(message) {}

  const char* what() const noexcept override { return what_.c_str(); }

  /// Puts `context` (an operation, a file name) and ": " in front.
  void add_context(std::string_view context);

  /// Puts the name of an enclosing module in front of the path so far: "3" becomes "features.3".
  void add_module(std::string_view module);

 private:
  std::string what_;
  std::size_t path_length_ = 0;  // how much of what_ is the module path
};

}  // namespace minidl
