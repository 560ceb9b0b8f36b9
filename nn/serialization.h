// Models, and what trains them, in files.
#pragma once

#include <concepts>
#include <string>

#include "minidl/core/serialization/safetensors.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/module.h"
#include "minidl/nn/optim/optimizer.h"
#include "minidl/nn/optim/plateau.h"
#include "minidl/nn/optim/scheduler.h"
#include "minidl/nn/train/ema.h"

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

/// What a training remembers besides its model.
template <class T>
concept TrainingState =
    std::derived_from<T, optim::Optimizer> || std::same_as<T, optim::Scheduler> ||
    std::same_as<T, optim::ReduceLROnPlateau> || std::same_as<T, train::ExponentialMovingAverage>;

/// Writes the state of an optimizer, a scheduler or a moving average, one to a file, as the model's
/// is written. With the same random numbers, a training that reads all of them goes on to the bit
/// as it would have:
///
///     dl::save(net, "net.safetensors");
///     dl::save(optimizer, "optimizer.safetensors");
///     dl::save(scheduler, "scheduler.safetensors");
///
/// In data-parallel training the states of all ranks are equal: one of them writes, all read.
template <TrainingState T>
void save(const T& training, const std::string& path) {
  save_safetensors(path, training.state_dict());
}

/// Reads such a file into an object that was made like the one that was saved; see its
/// load_state_dict. Errors begin with the file's name.
template <TrainingState T>
void load(T& training, const std::string& path) {
  const StateDict state = load_safetensors(path).tensors;
  try {
    training.load_state_dict(state);
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

}  // namespace minidl
