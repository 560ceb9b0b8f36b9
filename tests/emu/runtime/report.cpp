#include "report.h"

#include <cstdio>
#include <mutex>
#include <utility>

#include "runtime.h"

namespace emu::runtime {
namespace {

struct State {
  std::mutex mutex;
  std::string first;  // since take_report()
  std::string last;   // since reset_device()
  cudaError_t sticky = cudaSuccess;
};

State& state() {
  static auto* instance = new State;  // leaked: exit handlers report, too
  return *instance;
}

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

void report(const std::string& message) {
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  std::fprintf(stderr, "emu: %s\n", message.c_str());
  if (s.first.empty()) s.first = message;
  s.last = message;
}

void lose_device(const DeviceFault& fault) {
  report(fault.message);
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  if (s.sticky == cudaSuccess) s.sticky = fault.error;
}

cudaError_t sticky_error() {
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  return s.sticky;
}

void clear_sticky_error() {
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  s.sticky = cudaSuccess;
  s.first.clear();
  s.last.clear();
  last_error = cudaSuccess;
}

std::string last_report() {
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  return s.last;
}

cudaError_t set_last(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace emu::runtime

namespace emu {

std::string take_report() {
  runtime::State& s = runtime::state();
  const std::scoped_lock lock(s.mutex);
  return std::exchange(s.first, {});
}

bool device_lost() {
  return runtime::sticky_error() != cudaSuccess;
}

}  // namespace emu

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  emu::runtime::last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = emu::runtime::sticky_error();
  return sticky != cudaSuccess ? sticky : emu::runtime::last_error;
}
