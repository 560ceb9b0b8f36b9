// What the tests under dist::run share.
#pragma once

#include <cstdint>

#include "minidl/dist/context.h"
#include "tests/random_views.h"

namespace minidl::test {

/// The job that the tests run in; any number of ranks.
dist::Context& world();

/// test_seed() of rank 0, on all ranks. All must call it. Show it with INFO.
inline std::uint64_t common_seed() {
  const Tensor seed = full({1}, test_seed(), {.dtype = i64});
  world().communicator().broadcast(seed)->wait();
  return static_cast<std::uint64_t>(seed.item());
}

}  // namespace minidl::test
