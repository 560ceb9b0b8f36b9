#include "minidl/nn/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>

namespace minidl {
namespace {

constexpr int kBarWidth = 20;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kPlainLine{10};

std::size_t terminal_width() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

ProgressBar::ProgressBar(std::string label, std::int64_t total, bool enabled)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(total, 1)),
      enabled_(enabled),
      terminal_(enabled && isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() {
  if (done_ > 0) finish();
}

bool ProgressBar::due() const {
  const auto interval = terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine);
  return enabled_ && Clock::now() - last_draw_ >= interval;
}

void ProgressBar::step(const std::string& note) {
  ++done_;
  if (!note.empty()) note_ = note;
  if (due()) draw(/*last=*/false);
}

void ProgressBar::finish() {
  if (finished_) return;
  finished_ = true;
  if (enabled_) draw(/*last=*/true);
}

void ProgressBar::clear() {
  if (finished_) return;
  finished_ = true;
  if (terminal_) fmt::print(stderr, "\r\033[K");
}

std::string ProgressBar::eta() const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  if (done_ == 0) return "--:--";
  const double left = elapsed * static_cast<double>(std::max<std::int64_t>(total_ - done_, 0)) /
                      static_cast<double>(done_);
  const auto seconds = std::lround(left);
  return fmt::format("{:02}:{:02}", seconds / 60, seconds % 60);
}

void ProgressBar::draw(bool last) {
  last_draw_ = Clock::now();
  const double elapsed = std::chrono::duration<double>(last_draw_ - start_).count();
  const std::string time = last ? fmt::format("{:.1f} s", elapsed) : "ETA " + eta();
  std::string line;
  if (terminal_) {
    const auto filled = static_cast<int>(kBarWidth * std::min(done_, total_) / total_);
    line = fmt::format("{} [{:#<{}}{:.<{}}] {}/{}  {}  {}", label_, "", filled, "",
                       kBarWidth - filled, done_, total_, time, note_);
    // A line that wraps could not be erased.
    if (line.size() >= terminal_width()) line.resize(terminal_width() - 1);
    line = "\r\033[K" + line + (last ? "\n" : "");
  } else {
    line = fmt::format("{} {}/{}  {}  {}\n", label_, done_, total_, time, note_);
  }
  std::fputs(line.c_str(), stderr);  // not fmt::print, which throws where stderr is closed
  std::fflush(stderr);
}

}  // namespace minidl
