// Models in files.
#pragma once

#include <string>

#include "minidl/core/serialization/safetensors.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/module.h"

namespace minidl {

/// Writes the model's parameters and buffers as safetensors, atomically.
inline void save(const nn::ModuleBase& model, const std::string& path) {
  save_safetensors(path, model.state_dict());
}

/// Reads a safetensors file into the model; see ModuleBase::load_state_dict. Errors name the file.
inline nn::LoadReport load(nn::ModuleBase& model, const std::string& path, bool strict = true) {
  const StateDict state = load_safetensors(path).tensors;
  try {
    return model.load_state_dict(state, strict);
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

}  // namespace minidl
