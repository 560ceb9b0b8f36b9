// How many CPU threads compute.
#pragma once

namespace minidl {

/// Sets the threads of CPU kernels called from this thread; at least 1. The default is OpenMP's:
/// the cores, or OMP_NUM_THREADS. `dist::run` shares the cores out among the ranks of a machine.
void set_num_threads(int count);
int num_threads();

}  // namespace minidl
