// What may be relied upon to have happened: vector clocks over streams.
//
// Each stream numbers its operations 1, 2, 3 …; an operation is a Point (stream, number). A Clock
// holds, for each stream, the last operation that is known to be finished before something else
// starts. Streams hand clocks to each other through events, and the host collects them when it
// synchronises. Two operations of which neither is in the other's clock may run in any order, so
// it is a mistake if one writes what the other touches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace emu::runtime {

struct Point {
  int stream = 0;
  std::uint64_t number = 0;  ///< 0: before everything
};

class Clock {
 public:
  bool covers(const Point& point) const {
    return point.number == 0 || last(point.stream) >= point.number;
  }
  void join(const Point& point) {
    const auto stream = static_cast<std::size_t>(point.stream);
    if (last_.size() <= stream) last_.resize(stream + 1);
    last_[stream] = std::max(last_[stream], point.number);
  }
  void join(const Clock& other) {
    if (last_.size() < other.last_.size()) last_.resize(other.last_.size());
    for (std::size_t i = 0; i < other.last_.size(); ++i)
      last_[i] = std::max(last_[i], other.last_[i]);
  }
  std::uint64_t last(int stream) const {
    const auto index = static_cast<std::size_t>(stream);
    return index < last_.size() ? last_[index] : 0;
  }

 private:
  std::vector<std::uint64_t> last_;
};

/// An operation and what is finished once it is.
struct Mark {
  Point at;
  Clock clock;
};

}  // namespace emu::runtime
