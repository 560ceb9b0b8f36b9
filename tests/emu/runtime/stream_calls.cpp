// cudaStream… without capture, cudaDeviceSynchronize, cudaLaunchHostFunc.

#include "calls.h"
#include "capture.h"
#include "heap.h"

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

namespace {

constexpr int kHighestPriority = -5;

cudaError_t no_stream(const char* function) {
  return misuse(function, "no such stream (destroyed?)", cudaErrorInvalidResourceHandle);
}

// A captured stream cannot be waited for: the attempt spoils the capture.
cudaError_t refuse_captured(Stream& stream) {
  if (stream.capture != nullptr) {
    stream.capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return stream.id == 0 ? refuse_default_stream() : cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return call("cudaStreamCreateWithPriority", [&] {
    if (stream == nullptr || (flags & ~unsigned{cudaStreamNonBlocking}) != 0)
      return cudaErrorInvalidValue;
    const int clamped = std::max(std::min(priority, 0), kHighestPriority);
    const bool blocking = (flags & cudaStreamNonBlocking) == 0;
    *stream = handle_of(Queues::instance().create(blocking, clamped, flags));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", [&] {
    Stream* stream = stream_of(handle);
    if (stream == nullptr || stream->id == 0) return no_stream("cudaStreamDestroy");
    if (stream->capture != nullptr) stream->capture->invalid = true;
    Queues::instance().retire(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    Stream* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cudaStreamSynchronize");
    if (const cudaError_t refused = refuse_captured(*stream)) return refused;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    Queues::instance().wait(Queues::instance().tail(*stream));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", [&] {
    Stream* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cudaStreamQuery");
    if (const cudaError_t refused = refuse_captured(*stream)) return refused;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    const Mark tail = Queues::instance().tail(*stream);
    if (Queues::instance().poll(tail)) return cudaSuccess;
    Queues::instance().step_towards(tail);  // so that a loop over queries ends
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return call("cudaStreamGetPriority", [&] {
    const Stream* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cudaStreamGetPriority");
    *priority = stream->priority;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return call("cudaStreamGetFlags", [&] {
    const Stream* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cudaStreamGetFlags");
    *flags = stream->flags;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call("cudaDeviceGetStreamPriorityRange", [&] {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = kHighestPriority;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [&] {
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    Queues::instance().wait_all();
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call("cudaLaunchHostFunc", [&] {
    static const std::string* name = intern("cudaLaunchHostFunc");
    if (function == nullptr) return cudaErrorInvalidValue;
    return submit("cudaLaunchHostFunc", stream, {name, [=] { function(data); }, true});
  });
}
