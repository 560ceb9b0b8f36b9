#include "minidl/nn/data/sampling.h"

#include <limits>
#include <numeric>
#include <utility>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/philox.h"

namespace minidl::data {

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

Interval share_of(const Interval& whole, int rank, int ranks) {
  // The first `larger` ranks take one sample more. A product size * rank could overflow.
  const std::int64_t each = whole.size() / ranks;
  const std::int64_t larger = whole.size() % ranks;
  const std::int64_t begin = whole.begin + rank * each + (rank < larger ? rank : larger);
  return {.begin = begin, .end = begin + each + (rank < larger ? 1 : 0)};
}

}  // namespace minidl::data
