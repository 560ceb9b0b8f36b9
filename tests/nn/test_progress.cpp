// The progress bar, on a terminal and elsewhere.

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "minidl/nn/train/progress.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

// What `run` writes to standard error, which is replaced by `target` meanwhile.
std::string written_to(int source, int target, const std::function<void()>& run) {
  const int saved = dup(STDERR_FILENO);
  dup2(target, STDERR_FILENO);
  run();
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(target);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(source, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  close(source);
  return text;
}

std::string through_pipe(const std::function<void()>& run) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  return written_to(ends[0], ends[1], run);
}

std::string on_terminal(const std::function<void()>& run) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(master >= 0);
  REQUIRE(grantpt(master) == 0);
  REQUIRE(unlockpt(master) == 0);
  const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  return written_to(master, terminal, run);
}

void wait_for_redraw() {
  std::this_thread::sleep_for(std::chrono::milliseconds(110));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
    ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("progress: a plain line at the end where there is no terminal", "[progress]") {
  const std::string text = through_pipe([] {
    ProgressBar bar("epoch 1", 3);
    for (int i = 0; i < 3; ++i) bar.step("loss " + std::to_string(i));
  });
  CHECK_THAT(text, Contains("epoch 1 3/3") && Contains("loss 2"));
  CHECK(count(text, "\n") == 1);
  CHECK(count(text, "\r") == 0);
}

TEST_CASE("progress: a bar that redraws itself on a terminal", "[progress]") {
  const std::string text = on_terminal([] {
    ProgressBar bar("epoch 1", 4);
    CHECK_FALSE(bar.due());
    bar.step();
    wait_for_redraw();
    CHECK(bar.due());
    bar.step("loss 0.5");
    CHECK_FALSE(bar.due());
    bar.step();
  });
  CHECK_THAT(text, Contains("epoch 1 [##########..........] 2/4  ETA 00:00  loss 0.5"));
  CHECK_THAT(text, Contains("[###############.....] 3/4"));
  CHECK(count(text, "\n") == 1);
  CHECK(count(text, "\r\033[K") == 2);
}

TEST_CASE("progress: a long line is cut before it wraps", "[progress]") {
  const std::string text = on_terminal([] {
    ProgressBar bar("x", 1);
    bar.step(std::string(200, 'n'));
  });
  CHECK(count(text, "n") > 0);
  CHECK(text.find("\r\n") < 80 + std::string("\r\033[K").size());
}

TEST_CASE("progress: more steps than announced do no harm", "[progress]") {
  const std::string text = on_terminal([] {
    ProgressBar bar("x", 2);
    for (int i = 0; i < 5; ++i) bar.step();
    wait_for_redraw();
    bar.step();
  });
  CHECK_THAT(text, Contains("[####################] 6/2") && Contains("ETA 00:00"));
  CHECK_THAT(on_terminal([] { ProgressBar("x", 0).step(); }), Contains("1/1") || Contains("1/0"));
}

TEST_CASE("progress: silent where it is not enabled or nothing happened", "[progress]") {
  CHECK(through_pipe([] {
          ProgressBar bar("x", 2, /*enabled=*/false);
          bar.step();
          bar.finish();
          CHECK_FALSE(bar.due());
        }).empty());
  CHECK(through_pipe([] { const ProgressBar bar("x", 2); }).empty());
}

TEST_CASE("progress: finish ends the line once", "[progress]") {
  const std::string text = through_pipe([] {
    ProgressBar bar("x", 1);
    bar.step();
    bar.finish();
    bar.finish();
  });
  CHECK(count(text, "x 1/1") == 1);
}

TEST_CASE("progress: labels and notes may contain braces", "[progress]") {
  CHECK_THAT(through_pipe([] { ProgressBar("{}", 1).step("{0}"); }),
             Contains("{} 1/1") && Contains("{0}"));
}

TEST_CASE("progress: standard error that cannot be written to does no harm", "[progress]") {
  const int full = open("/dev/full", O_WRONLY);
  REQUIRE(full >= 0);
  const int nothing = open("/dev/null", O_RDONLY);
  CHECK_NOTHROW(written_to(nothing, full, [] {
    ProgressBar bar("x", 1);
    bar.step();
    bar.finish();
  }));
}

TEST_CASE("progress: wraps a range", "[progress]") {
  std::vector<int> seen;
  const std::string text = through_pipe([&] {
    for (const int value : progress(std::vector<int>{4, 5, 6}, "range")) seen.push_back(value);
  });
  CHECK(seen == std::vector<int>{4, 5, 6});
  CHECK_THAT(text, Contains("range 3/3"));
}

TEST_CASE("progress: a loop that is left early shows how far it came", "[progress]") {
  const std::string text = through_pipe([] {
    for (const int value : progress(std::vector<int>{1, 2, 3, 4}, "range")) {
      if (value == 3) break;
    }
  });
  CHECK_THAT(text, Contains("range 2/4"));
}

TEST_CASE("progress: an empty range is fine", "[progress]") {
  int loops = 0;
  for ([[maybe_unused]] const int value : progress(std::vector<int>{}, "range", false)) ++loops;
  CHECK(loops == 0);
}
