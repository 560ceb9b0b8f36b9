#include "minidl/core/module_path.h"

#include <vector>

namespace minidl {
namespace {

thread_local std::vector<const std::string*> path;

}  // namespace

ModulePathScope::ModulePathScope(const std::string& name) : named_(!name.empty()) {
  if (named_) path.push_back(&name);
}

ModulePathScope::~ModulePathScope() {
  if (named_) path.pop_back();
}

std::string current_module_path() {
  std::string result;
  for (const std::string* name : path) {
    if (!result.empty()) result += '.';
    result += *name;
  }
  return result;
}

}  // namespace minidl
