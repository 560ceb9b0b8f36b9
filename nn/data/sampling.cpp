#include "minidl/nn/data/sampling.h"

namespace minidl::data {

Interval share_of(const Interval& whole, int rank, int ranks) {
  // The first `larger` ranks take one sample more. A product size * rank could overflow.
  const std::int64_t each = whole.size() / ranks;
  const std::int64_t larger = whole.size() % ranks;
  const std::int64_t begin = whole.begin + rank * each + (rank < larger ? rank : larger);
  return {.begin = begin, .end = begin + each + (rank < larger ? 1 : 0)};
}

}  // namespace minidl::data
