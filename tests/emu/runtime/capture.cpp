// Stream capture: cudaStreamBeginCapture to cudaStreamEndCapture.

#include "capture.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "calls.h"
#include "graphs.h"

namespace emu::runtime {
namespace {

struct Captures {
  std::mutex mutex;
  std::set<std::shared_ptr<Capture>> active;
};

Captures& captures() {
  static auto* instance = new Captures;  // leaked, as all that handles hang on
  return *instance;
}

// Whether every member's work comes before the origin's last: nothing was forked off and left.
bool all_joined(const Capture& capture) {
  std::vector<bool> reached(capture.graph.nodes.size());
  std::vector<std::size_t> open = capture.members.at(capture.origin).tail;
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    const auto& after = capture.graph.nodes[node].after;
    open.insert(open.end(), after.begin(), after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
}

void end(Capture& capture) {
  for (const auto& [stream, member] : capture.members) stream->capture = nullptr;
  capture.origin = nullptr;
  auto& active = captures().active;
  const auto same = [&](const auto& other) { return other.get() == &capture; };
  active.erase(std::find_if(active.begin(), active.end(), same));
}

cudaError_t begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->id == 0) return cudaErrorStreamCaptureUnsupported;
  const std::scoped_lock lock(captures().mutex);
  if (stream->capture != nullptr) return cudaErrorIllegalState;
  auto capture = std::make_shared<Capture>();
  capture->origin = stream;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->graph.lanes = 1;
  capture->members[stream] = {0, {}};
  stream->capture = capture;
  captures().active.insert(std::move(capture));
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t handle, cudaGraph_t* graph) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr || graph == nullptr) return cudaErrorInvalidValue;
  *graph = nullptr;
  const std::scoped_lock lock(captures().mutex);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr) return cudaErrorIllegalState;
  if (capture->origin != stream) {
    capture->invalid = true;
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id()) {
    capture->invalid = true;
    return cudaErrorStreamCaptureWrongThread;
  }
  const bool joined = all_joined(*capture);
  end(*capture);
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  *graph = make_graph(std::move(capture->graph));
  return cudaSuccess;
}

cudaStreamCaptureStatus status_of(const Stream& stream) {
  if (stream.capture == nullptr) return cudaStreamCaptureStatusNone;
  return stream.capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
}

}  // namespace

void add_node(Capture& capture, Stream& stream, Work work) {
  const std::scoped_lock lock(captures().mutex);
  Capture::Member& member = capture.members.at(&stream);
  capture.graph.nodes.push_back({std::move(work), member.tail, member.lane});
  member.tail = {capture.graph.nodes.size() - 1};
}

cudaError_t refuse_while_capturing() {
  const std::scoped_lock lock(captures().mutex);
  cudaError_t result = cudaSuccess;
  for (const auto& capture : captures().active) {
    const bool forbids = capture->mode == cudaStreamCaptureModeGlobal ||
                         (capture->mode == cudaStreamCaptureModeThreadLocal &&
                          capture->thread == std::this_thread::get_id());
    if (!forbids) continue;
    capture->invalid = true;
    result = cudaErrorStreamCaptureUnsupported;
  }
  return result;
}

cudaError_t refuse_default_stream() {
  const std::scoped_lock lock(captures().mutex);
  cudaError_t result = cudaSuccess;
  for (const auto& capture : captures().active) {
    for (const auto& [stream, member] : capture->members) {
      if (!stream->blocking) continue;
      capture->invalid = true;
      result = cudaErrorStreamCaptureImplicit;
    }
  }
  return result;
}

void drop_captures() {
  const std::scoped_lock lock(captures().mutex);
  while (!captures().active.empty()) end(*std::shared_ptr<Capture>(*captures().active.begin()));
}

}  // namespace emu::runtime

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&] { return begin_capture(stream, mode); });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&] { return end_capture(stream, graph); });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    const Stream* stream = stream_of(handle);
    if (stream == nullptr || status == nullptr) return cudaErrorInvalidValue;
    if (stream->id == 0) {
      const cudaError_t refused = refuse_default_stream();
      if (refused != cudaSuccess) return refused;
    }
    *status = status_of(*stream);
    return cudaSuccess;
  });
}
