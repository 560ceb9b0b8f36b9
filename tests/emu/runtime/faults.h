// The handler of SIGSEGV, which access.h's rules run in.
#pragma once

namespace emu::runtime {

/// Whether an access of the current operation has been refused since the last call of
/// forget_memory_fault() on this thread.
bool had_memory_fault();
void forget_memory_fault();

}  // namespace emu::runtime
