// What kernel code sees of the CUDA thread that it runs as.
#pragma once

#include <vector_types.h>

namespace emu {

struct Block;

struct Thread {
  uint3 thread_index{}, block_index{};
  dim3 block_dim, grid_dim;
  unsigned linear = 0;  // number within the block
  unsigned warp = 0, lane = 0;
  Block* block = nullptr;
};

// The thread that is executed, null outside kernels. __thread, because reading an extern
// thread_local goes through a wrapper function, on which UBSan also gives false alarms.
extern __thread Thread* current;

inline const Thread& self() {
  return *current;
}

}  // namespace emu
