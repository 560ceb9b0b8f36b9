// cudaEvent…, and cudaStreamWaitEvent.

#include <mutex>
#include <set>

#include "calls.h"
#include "events.h"
#include "heap.h"

namespace emu::runtime {
namespace {

struct Events {
  std::mutex mutex;
  std::set<Event*> live;
};

Events& events() {
  static auto* instance = new Events;  // leaked, as all that handles hang on
  return *instance;
}

Event* event_of(cudaEvent_t handle) {
  auto* event = reinterpret_cast<Event*>(handle);
  const std::scoped_lock lock(events().mutex);
  return events().live.count(event) != 0 ? event : nullptr;
}

cudaError_t no_event(const char* function) {
  return misuse(function, "no such event (destroyed?)", cudaErrorInvalidResourceHandle);
}

cudaError_t record(cudaEvent_t handle, cudaStream_t stream_handle) {
  Event* event = event_of(handle);
  if (event == nullptr) return no_event("cudaEventRecord");
  static const std::string* name = intern("cudaEventRecord");
  Stream* stream = stream_of(stream_handle);
  if (stream != nullptr && stream->capture != nullptr) {
    if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    event->capture = stream->capture;
    event->nodes = stream->capture->members.at(stream).tail;
    return cudaSuccess;
  }
  auto made = std::make_shared<Record>();
  const cudaError_t error =
      submit("cudaEventRecord", stream_handle,
             {name, [made] { made->time = std::chrono::steady_clock::now(); }}, &made->mark);
  if (error != cudaSuccess) return error;
  event->record = std::move(made);
  event->capture = nullptr;
  return cudaSuccess;
}

// A stream that waits for a captured event belongs to that capture from now on.
cudaError_t wait_in_capture(Stream& stream, const Event& event) {
  const std::shared_ptr<Capture>& capture = event.capture;
  if (capture->origin == nullptr) return cudaErrorCapturedEvent;  // that capture has ended
  if (stream.capture != nullptr && stream.capture != capture) {
    stream.capture->invalid = capture->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (stream.id == 0) {
    capture->invalid = true;
    return cudaErrorStreamCaptureImplicit;
  }
  stream.capture = capture;
  auto [member, is_new] = capture->members.try_emplace(&stream);
  if (is_new) member->second.lane = capture->graph.lanes++;
  member->second.tail.insert(member->second.tail.end(), event.nodes.begin(), event.nodes.end());
  return cudaSuccess;
}

cudaError_t wait(cudaStream_t stream_handle, cudaEvent_t handle) {
  Event* event = event_of(handle);
  if (event == nullptr) return no_event("cudaStreamWaitEvent");
  Stream* stream = stream_of(stream_handle);
  if (stream == nullptr) {
    return misuse("cudaStreamWaitEvent", "no such stream (destroyed?)",
                  cudaErrorInvalidResourceHandle);
  }
  if (event->capture != nullptr) return wait_in_capture(*stream, *event);
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (event->record != nullptr) Queues::instance().order_after(*stream, event->record->mark);
  return cudaSuccess;
}

cudaError_t elapsed(float* milliseconds, cudaEvent_t start_handle, cudaEvent_t end_handle) {
  Event* start = event_of(start_handle);
  Event* end = event_of(end_handle);
  if (start == nullptr || end == nullptr) return no_event("cudaEventElapsedTime");
  if (start->record == nullptr || end->record == nullptr)
    return misuse("cudaEventElapsedTime", "an event was never recorded",
                  cudaErrorInvalidResourceHandle);
  if (((start->flags | end->flags) & cudaEventDisableTiming) != 0)
    return misuse("cudaEventElapsedTime", "an event was made with cudaEventDisableTiming",
                  cudaErrorInvalidResourceHandle);
  if (!Queues::instance().poll(start->record->mark) || !Queues::instance().poll(end->record->mark))
    return cudaErrorNotReady;
  const std::chrono::duration<float, std::milli> time = end->record->time - start->record->time;
  *milliseconds = time.count();
  return cudaSuccess;
}

}  // namespace

std::size_t live_events() {
  const std::scoped_lock lock(events().mutex);
  return events().live.size();
}

}  // namespace emu::runtime

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] {
    constexpr unsigned kKnown =
        cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
    if (event == nullptr || (flags & ~kKnown) != 0) return cudaErrorInvalidValue;
    auto* made = new Event;
    made->flags = flags;
    const std::scoped_lock lock(events().mutex);
    events().live.insert(made);
    *event = reinterpret_cast<cudaEvent_t>(made);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call("cudaEventDestroy", [&] {
    Event* event = event_of(handle);
    if (event == nullptr) return no_event("cudaEventDestroy");
    const std::scoped_lock lock(events().mutex);
    events().live.erase(event);
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", [&] { return record(event, stream); });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return call("cudaEventRecordWithFlags", [&] {
    return flags == cudaEventRecordDefault ? record(event, stream) : cudaErrorInvalidValue;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return call("cudaStreamWaitEvent", [&] {
    return flags == cudaEventWaitDefault ? wait(stream, event) : cudaErrorInvalidValue;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call("cudaEventQuery", [&] {
    Event* event = event_of(handle);
    if (event == nullptr) return no_event("cudaEventQuery");
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    if (event->record == nullptr) return cudaSuccess;
    const Mark mark = event->record->mark;
    if (Queues::instance().poll(mark)) return cudaSuccess;
    Queues::instance().step_towards(mark);  // so that a loop over queries ends
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call("cudaEventSynchronize", [&] {
    Event* event = event_of(handle);
    if (event == nullptr) return no_event("cudaEventSynchronize");
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    if (const cudaError_t refused = refuse_while_capturing()) return refused;
    if (event->record != nullptr) Queues::instance().wait(Mark(event->record->mark));
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] { return elapsed(milliseconds, start, end); });
}
