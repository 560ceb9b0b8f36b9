#include "minidl/kernels/common/error.h"

namespace minidl {

void Error::add_context(std::string_view context) {
  what_.insert(0, std::string(context) + ": ");
  path_length_ = 0;
}

void Error::add_module(std::string_view module) {
  const std::string_view separator = path_length_ == 0 ? ": " : ".";
  path_length_ += module.size() + (path_length_ == 0 ? 0 : 1);
  what_.insert(0, std::string(module) + std::string(separator));
}

}  // namespace minidl
