// Models in files.
#pragma once

#include <string>

#include "minidl/core/serialization/safetensors.h"
#include "minidl/nn/module.h"

namespace minidl {

/// Writes the model's parameters and buffers as safetensors, atomically.
inline void save(const nn::ModuleBase& model, const std::string& path) {
  save_safetensors(path, model.state_dict());
}

/// Reads a safetensors file into the model; see ModuleBase::load_state_dict.
inline nn::LoadReport load(nn::ModuleBase& model, const std::string& path, bool strict = true) {
  return model.load_state_dict(load_safetensors(path).tensors, strict);
}

}  // namespace minidl
