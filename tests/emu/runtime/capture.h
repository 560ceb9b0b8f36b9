// Stream capture and graphs. While a stream is captured, what is issued on it becomes nodes of a
// graph; other streams join by waiting for an event that was recorded in the capture.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "streams.h"

namespace emu::runtime {

struct Node {
  Work work;
  std::vector<std::size_t> after;  ///< nodes that come first
  std::size_t lane;                ///< which of the captured streams it was issued on
};

struct Graph {
  std::vector<Node> nodes;  ///< in the order of issue, which respects `after`
  std::size_t lanes = 0;
};

struct Capture {
  struct Member {
    std::size_t lane;
    std::vector<std::size_t> tail;  ///< nodes that its next one comes after
  };
  Graph graph;
  Stream* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false;
  std::map<Stream*, Member> members;
};

/// Appends a node.
void add_node(Capture& capture, Stream& stream, Work work);

/// cudaSuccess, or why a call that acts at once (synchronising, allocating) is not allowed now;
/// it invalidates the captures that forbid it.
cudaError_t refuse_while_capturing();

/// cudaSuccess, or why nothing may be issued on the default stream: a stream that is ordered with
/// it is being captured.
cudaError_t refuse_default_stream();

/// Forgets all captures.
void drop_captures();
std::size_t live_graphs();

}  // namespace emu::runtime
