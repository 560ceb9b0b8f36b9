#include "minidl/core/random.h"

namespace minidl {

kernels::RandomKey Generator::next() {
  const std::scoped_lock lock(mutex_);
  return {state_.seed, state_.next_stream++};
}

Generator::State Generator::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

void Generator::set_state(const State& state) {
  const std::scoped_lock lock(mutex_);
  state_ = state;
}

Generator& default_generator() {
  static Generator generator;
  return generator;
}

void manual_seed(std::uint64_t seed) {
  default_generator().set_state({.seed = seed, .next_stream = 0});
}

}  // namespace minidl
