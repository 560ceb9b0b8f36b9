// Who gets which samples, and with which random numbers: pure functions, the same on every rank.
#pragma once

#include <cstdint>

namespace minidl::data {

/// What a Philox stream is used for. The purpose sits in the top byte of the stream's number, so
/// that these streams stay apart from each other and from a Generator's, which count up from 0.
enum class StreamPurpose : std::uint8_t {
  shuffle = 1,
  augmentation,
  subset,
  synthetic_train,
  synthetic_test
};

/// Stream `number` (an epoch, a sample) of one purpose.
constexpr std::uint64_t data_stream(StreamPurpose purpose, std::int64_t number) {
  return (static_cast<std::uint64_t>(purpose) << 56) | static_cast<std::uint64_t>(number);
}

/// The half-open interval begin..end.
struct Interval {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

/// The part of `whole` that falls to `rank`: contiguous, in the order of the ranks, sizes differing
/// by at most one.
Interval share_of(const Interval& whole, int rank, int ranks);

}  // namespace minidl::data
