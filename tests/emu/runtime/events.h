// Events: marks in streams.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "capture.h"
#include "streams.h"

namespace emu::runtime {

/// One cudaEventRecord.
struct Record {
  Mark mark;
  std::chrono::steady_clock::time_point time;  ///< when the mark was passed
};

struct Event {
  unsigned flags = 0;
  std::shared_ptr<Record> record;    ///< null: never recorded
  std::shared_ptr<Capture> capture;  ///< if it was last recorded in a capture
  std::vector<std::size_t> nodes;    ///< … after these nodes
};

std::size_t live_events();

}  // namespace emu::runtime
