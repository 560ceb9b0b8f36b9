// Where random operations get their numbers from.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "minidl/kernels/random.h"

namespace minidl {

/// A seed and a count of the streams drawn from it. Each random operation takes one stream, and its
/// elements are keyed by (seed, stream, index): results depend on the order of the operations only.
/// Thread-safe.
class Generator {
 public:
  /// All there is to know for a checkpoint.
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t next_stream = 0;
    friend bool operator==(const State&, const State&) = default;
  };

  explicit Generator(std::uint64_t seed = 0) { state_.seed = seed; }

  /// The key of the next stream.
  kernels::RandomKey next();

  State state() const;
  void set_state(const State& state);

 private:
  mutable std::mutex mutex_;
  State state_;
};

/// The generator that factories, dropout and initialisers use.
Generator& default_generator();

/// Restarts the default generator with `seed`.
void manual_seed(std::uint64_t seed);

/// 0..count-1 in random order (Fisher and Yates).
std::vector<std::int64_t> random_permutation(std::int64_t count, std::uint64_t seed,
                                             std::uint64_t stream);

}  // namespace minidl
