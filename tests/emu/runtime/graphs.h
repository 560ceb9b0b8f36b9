// Graphs and what is made of them to be launched.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "capture.h"

namespace emu::runtime {

cudaGraph_t make_graph(Graph graph);

}  // namespace emu::runtime
