#include "runner.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>

#include <fmt/format.h>

#include "minidl/kernels/common/error.h"
#include "records.h"

namespace minidl::conformance {
namespace {

double now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// What parent and child both see.
struct Progress {
  std::atomic<std::size_t> at{0};
  std::atomic<double> started{0};
};

// The child: cases from progress.at on, until one throws. A failed device stays failed, so another
// process goes on from there.
[[noreturn]] void run_from(const Cases& cases, const std::string& file, Progress& progress) {
  for (std::size_t i = progress.at; i < cases.size(); ++i) {
    progress.started = now();
    progress.at = i;
    Record record{cases[i].name, cases[i].tolerance, "", {}};
    try {
      record.words = cases[i].run();
    } catch (const std::exception& error) {
      record.problem = error.what();
    }
    append(file, record);
    if (!record.problem.empty()) {
      progress.at = i + 1;
      std::_Exit(1);
    }
  }
  progress.at = cases.size();
  std::_Exit(0);
}

}  // namespace

int run_cases(const Cases& cases, const std::string& file, double limit_seconds) {
  void* shared =
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw Error("conformance: no shared memory for the progress");
  auto& progress = *new (shared) Progress;
  int failures = 0;
  while (progress.at < cases.size()) {
    progress.started = now();
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child < 0) throw Error("conformance: no process for the cases");
    if (child == 0) run_from(cases, file, progress);
    int status = 0;
    bool late = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
      usleep(2000);
      if (!late && now() - progress.started > limit_seconds) {
        late = true;
        kill(child, SIGKILL);
      }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    ++failures;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1) continue;  // it told why
    const Case& stopped = cases[progress.at];
    append(file, {stopped.name,
                  stopped.tolerance,
                  late ? fmt::format("stopped after {:.0f} s", limit_seconds)
                       : fmt::format("its process ended, signal {}", WTERMSIG(status)),
                  {}});
    ++progress.at;
  }
  munmap(shared, sizeof(Progress));
  return failures;
}

}  // namespace minidl::conformance
