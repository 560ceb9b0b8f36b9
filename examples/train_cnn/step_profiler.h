// --profile: where the time of a few steps goes.
#pragma once

#include <minidl/minidl.h>

#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>

/// Watches `steps` steps after the first, which warms up; 0 for none.
class StepProfiler {
 public:
  StepProfiler(std::int64_t steps, std::string trace) : steps_(steps), trace_(std::move(trace)) {}

  /// Call it at the end of each step.
  void step() {
    if (steps_ == 0) return;
    if (profiler_ == nullptr) {
      profiler_ = std::make_unique<minidl::Profiler>();
    } else if (--steps_ == 0) {
      profiler_->stop();
      fmt::print("\n{}{} opens in chrome://tracing and ui.perfetto.dev\n", profiler_->table(),
                 trace_);
      std::fflush(stdout);
      profiler_->save_chrome_trace(trace_);
    }
  }

 private:
  std::int64_t steps_;
  std::string trace_;
  std::unique_ptr<minidl::Profiler> profiler_;
};
