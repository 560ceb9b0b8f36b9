// Which module is running: for error messages and profiles.
#pragma once

#include <string>

namespace minidl {

/// Names the part of a model that runs on this thread while it lives. Scopes nest; modules open one
/// around each forward. `name` must outlive it.
class ModulePathScope {
 public:
  explicit ModulePathScope(const std::string& name);
  ~ModulePathScope();
  ModulePathScope(const ModulePathScope&) = delete;
  ModulePathScope& operator=(const ModulePathScope&) = delete;

 private:
  bool named_;
};

/// "layer1.0.conv1", or "" outside of modules that have a name.
std::string current_module_path();

}  // namespace minidl
