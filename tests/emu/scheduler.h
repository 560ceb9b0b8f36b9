// What run() needs of the scheduler.
#pragma once

#include "state.h"

namespace emu {

/// Executes the cluster whose first block is `first` to its end. Throws Error.
void run_cluster(const Launch& launch, uint3 first);

/// After an error: drops all fibers where they are.
void abandon();

std::size_t stack_bytes();

/// Turns a stack overflow, and a thread that reaches nothing for options().hang_seconds, into
/// errors while it lives.
class Watch {
 public:
  Watch();
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
};

}  // namespace emu
