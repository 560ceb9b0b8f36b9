#include "calls.h"

#include <memory>
#include <optional>

#include "../engine.h"
#include "access.h"
#include "capture.h"
#include "heap.h"
#include "runtime.h"

namespace emu::runtime {
namespace {

// emu::run() without a stream, as tests of the engine use it: nothing orders it with other work.
thread_local Accessor unqueued;
thread_local std::optional<AccessScope> unqueued_scope;

void open_for_kernel(const Launch& launch) {
  install_fault_handler();
  if (current_accessor() != nullptr) return;
  unqueued = {intern(launch.kernel), {}, {}, false, {}, {}};
  unqueued_scope.emplace(unqueued);
}

void close_after_kernel(const Launch&) {
  if (!unqueued_scope) return;
  try {
    unqueued_scope->finish();
  } catch (const DeviceFault& fault) {
    lose_device(fault);
  }
  unqueued_scope.reset();
}

// Before there is device memory, which is early enough, and after the engine's own statics.
void hook_into_engine() {
  static const bool hooked = (set_launch_hooks(open_for_kernel, close_after_kernel), true);
  (void)hooked;
}

}  // namespace

cudaError_t may_call(const char* function) {
  hook_into_engine();
  install_fault_handler();
  switch (runtime_options().machine) {
    case Machine::kDevice: break;
    case Machine::kNoDevice: return cudaErrorNoDevice;
    case Machine::kNoDriver: return cudaErrorInsufficientDriver;
  }
  if (in_kernel()) return misuse(function, "called from a kernel", cudaErrorNotPermitted);
  if (in_host_function())
    return misuse(function, "called from a host function", cudaErrorNotPermitted);
  return sticky_error();
}

cudaError_t misuse(const char* function, const std::string& what, cudaError_t error) {
  report(std::string(function) + ": " + what);
  return error;
}

Stream* stream_of(cudaStream_t handle) {
  Queues& queues = Queues::instance();
  if (handle == nullptr || handle == cudaStreamLegacy) return &queues.default_stream();
  return queues.find(handle);
}

cudaError_t submit(const char* function, cudaStream_t handle, Work work, Mark* mark) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr)
    return misuse(function, "no such stream (destroyed?)", cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    add_node(*stream->capture, *stream, std::move(work));
    return cudaSuccess;
  }
  if (stream->id == 0) {
    const cudaError_t refused = refuse_default_stream();
    if (refused != cudaSuccess) return refused;
  }
  const Mark issued = Queues::instance().issue(*stream, std::move(work));
  if (mark != nullptr) *mark = issued;
  return cudaSuccess;
}

}  // namespace emu::runtime

void emu::reset_device() {
  runtime::drop_captures();
  runtime::Queues::instance().clear();
  runtime::clear_sticky_error();
}
