// Showing that long work is moving.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace minidl {

/// A line about a loop of `total` steps: a bar that redraws itself on a terminal, a plain line
/// every few seconds and at the end elsewhere. Writes to standard error, so that results on
/// standard output stay clean; writes nothing at all if not `enabled` (all ranks but one).
class ProgressBar {
 public:
  ProgressBar(std::string label, std::int64_t total, bool enabled = true);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// One step is done; `note` (loss and the like) goes behind the bar. Cheap: draws a few times a
  /// second at most.
  void step(const std::string& note = {});
  /// Whether the next step() will draw: lets the caller skip making a note.
  bool due() const;
  /// Draws the last state and ends the line. The destructor does it, too.
  void finish();
  /// Removes the bar instead: for callers that report the result themselves.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  void draw(bool last);
  std::string eta() const;

  std::string label_;
  std::int64_t total_;
  bool enabled_;
  bool terminal_;
  bool finished_ = false;
  std::int64_t done_ = 0;
  std::string note_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_ = Clock::now();
};

/// Wraps a range with size() so that a range-for over it shows a ProgressBar:
///     for (auto [x, y] : progress(loader.epoch(3), "epoch 3")) …
template <class Range>
class ProgressRange {
 public:
  ProgressRange(Range range, std::string label, bool enabled)
      : range_(std::move(range)),
        bar_(std::move(label), static_cast<std::int64_t>(range_.size()), enabled) {}

  template <class Inner>
  class Iterator {
   public:
    Iterator(Inner inner, ProgressBar* bar) : inner_(std::move(inner)), bar_(bar) {}
    decltype(auto) operator*() { return *inner_; }
    Iterator& operator++() {
      bar_->step();
      ++inner_;
      return *this;
    }
    template <class Other>
    bool operator!=(const Iterator<Other>& other) const {
      return inner_ != other.inner();
    }
    const Inner& inner() const { return inner_; }

   private:
    Inner inner_;
    ProgressBar* bar_;
  };

  auto begin() { return Iterator<decltype(range_.begin())>(range_.begin(), &bar_); }
  auto end() { return Iterator<decltype(range_.end())>(range_.end(), &bar_); }

 private:
  Range range_;
  ProgressBar bar_;
};

template <class Range>
ProgressRange<Range> progress(Range range, std::string label, bool enabled = true) {
  return {std::move(range), std::move(label), enabled};
}

}  // namespace minidl
