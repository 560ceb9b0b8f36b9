// cudaGraph…. A launch issues the nodes on streams of the graph, one for each stream that was
// captured, so that branches interleave and are checked like any other work.

#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "calls.h"
#include "graphs.h"
#include "heap.h"

namespace emu::runtime {
namespace {

struct Executable {
  Graph graph;
  std::vector<Stream*> lanes;
};

struct Graphs {
  std::mutex mutex;
  std::set<Graph*> graphs;
  std::set<Executable*> executables;
};

Graphs& all() {
  static auto* instance = new Graphs;  // leaked, as all that handles hang on
  return *instance;
}

template <class Item>
Item* live(const std::set<Item*>& items, const void* handle) {
  auto* item = static_cast<Item*>(const_cast<void*>(handle));
  const std::scoped_lock lock(all().mutex);
  return items.count(item) != 0 ? item : nullptr;
}

cudaError_t launch(const Executable& executable, cudaStream_t handle) {
  Queues& queues = Queues::instance();
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr) {
    return misuse("cudaGraphLaunch", "graphs within graphs are not emulated",
                  cudaErrorStreamCaptureUnsupported);
  }
  static const std::string* start_name = intern("cudaGraphLaunch");
  Mark start;
  const cudaError_t error = submit("cudaGraphLaunch", handle, {start_name, {}}, &start);
  if (error != cudaSuccess) return error;
  std::vector<Mark> marks;
  std::vector<Mark> ends;
  for (const Node& node : executable.graph.nodes) {
    std::vector<Mark> after{start};
    for (const std::size_t index : node.after) after.push_back(marks[index]);
    marks.push_back(queues.issue(*executable.lanes[node.lane], node.work, after));
  }
  if (!marks.empty()) queues.issue(*stream, {start_name, {}}, marks);
  return cudaSuccess;
}

}  // namespace

cudaGraph_t make_graph(Graph graph) {
  auto* made = new Graph(std::move(graph));
  const std::scoped_lock lock(all().mutex);
  all().graphs.insert(made);
  return reinterpret_cast<cudaGraph_t>(made);
}

std::size_t live_graphs() {
  const std::scoped_lock lock(all().mutex);
  return all().graphs.size() + all().executables.size();
}

}  // namespace emu::runtime

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle,
                                 unsigned long long flags) {
  return call("cudaGraphInstantiate", [&] {
    const Graph* graph = live(all().graphs, handle);
    if (executable == nullptr || graph == nullptr || flags != 0) return cudaErrorInvalidValue;
    auto* made = new Executable{*graph, {}};
    for (std::size_t i = 0; i < graph->lanes; ++i)
      made->lanes.push_back(&Queues::instance().create(false, 0, cudaStreamNonBlocking));
    const std::scoped_lock lock(all().mutex);
    all().executables.insert(made);
    *executable = reinterpret_cast<cudaGraphExec_t>(made);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return call("cudaGraphLaunch", [&] {
    const Executable* executable = live(all().executables, handle);
    return executable == nullptr ? cudaErrorInvalidValue : launch(*executable, stream);
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return call("cudaGraphDestroy", [&] {
    Graph* graph = live(all().graphs, handle);
    if (graph == nullptr) return misuse("cudaGraphDestroy", "no such graph (destroyed?)");
    const std::scoped_lock lock(all().mutex);
    all().graphs.erase(graph);
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return call("cudaGraphExecDestroy", [&] {
    Executable* executable = live(all().executables, handle);
    if (executable == nullptr)
      return misuse("cudaGraphExecDestroy", "no such executable graph (destroyed?)");
    for (Stream* lane : executable->lanes) Queues::instance().retire(*lane);
    const std::scoped_lock lock(all().mutex);
    all().executables.erase(executable);
    delete executable;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* count) {
  return call("cudaGraphGetNodes", [&] {
    Graph* graph = live(all().graphs, handle);
    if (graph == nullptr || count == nullptr) return cudaErrorInvalidValue;
    if (nodes != nullptr) {
      *count = std::min(*count, graph->nodes.size());
      for (std::size_t i = 0; i < *count; ++i)
        nodes[i] = reinterpret_cast<cudaGraphNode_t>(&graph->nodes[i]);
    } else {
      *count = graph->nodes.size();
    }
    return cudaSuccess;
  });
}
