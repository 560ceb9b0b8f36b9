// How the ops get their random numbers. Not part of the public interface.
#pragma once

#include <algorithm>

#include "minidl/core/random.h"
#include "minidl/core/tensor.h"

namespace minidl {

/// The next stream of the default generator. Where an operand is fake nothing is computed, and so
/// nothing is drawn: a pass on shapes leaves no trace in later results.
inline kernels::RandomKey next_key(const Tensors& operands) {
  const bool computes = std::none_of(operands.begin(), operands.end(),
                                     [](const Tensor& x) { return x.defined() && x.is_fake(); });
  if (computes) return default_generator().next();
  const Generator::State state = default_generator().state();
  return {state.seed, state.next_stream};
}

}  // namespace minidl
