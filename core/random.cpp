#include "minidl/core/random.h"

#include <limits>
#include <numeric>
#include <utility>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/philox.h"

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

std::vector<std::int64_t> random_permutation(std::int64_t count, std::uint64_t seed,
                                             std::uint64_t stream) {
  check(count >= 0 && count <= std::numeric_limits<std::uint32_t>::max(),
        "random_permutation: {} elements cannot be shuffled; 2^32 - 1 can", count);
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  PhiloxSequence random(seed, stream);
  for (std::size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[random.below(static_cast<std::uint32_t>(left))]);
  }
  return order;
}

}  // namespace minidl
