// Who may touch device memory, and when: the rules that turn a missing wait into an error.
//
// All of it is closed. While an operation (a kernel, a copy) runs on the device, the first access
// to each granule faults, and the fault handler asks here. An access is refused where memory
//   - belongs to no block, or lies in the margin around one,
//   - was freed, or is allocated on a stream that the operation's stream has not waited for,
//   - was written (or, for a write, read) by an operation that is not ordered before this one.
// Otherwise the granule opens, for reading or for both, until the operation ends. So every access
// is checked at the price of one fault for each granule, in all builds.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "clock.h"
#include "heap.h"

namespace emu::runtime {

/// An operation that runs on the device.
struct Accessor {
  const std::string* operation = nullptr;
  Point at;
  Clock before;         ///< everything that is finished when it starts
  bool ordered = true;  ///< false: not queued on any stream (emu::run by itself), so unordered
  std::vector<Block*> touched;
  std::string problem;  ///< a mistake that could not be reported where it happened
};

/// "" if `accessor` may read or write the bytes, which are open then; else what is wrong. Holds for
/// device memory only. The heap must be locked.
std::string try_access(Accessor& accessor, const void* pointer, std::size_t bytes, bool write);

/// For code that cannot be stopped: remembers the problem and opens the place nevertheless. False
/// if no live block is there. The heap must be locked.
bool open_anyway(Accessor& accessor, const void* pointer, const std::string& problem);

/// Closes what the accessor has opened; returns "", its problem, or that it has written where
/// nothing is. The heap must be locked.
std::string close_all(Accessor& accessor);

/// "" if everything that has touched the block is finished before the accessor's operation, which
/// frees it. The heap must be locked.
std::string may_free(const Accessor& accessor, const Block& block);

/// The operation that the calling thread runs for the device, or null. The fault handler acts for
/// it.
Accessor* current_accessor();

/// Makes an operation current for the calling thread, and closes what it opened at the end. Nested
/// ones join the outer one.
class AccessScope {
 public:
  explicit AccessScope(Accessor& accessor);
  ~AccessScope();
  AccessScope(const AccessScope&) = delete;
  AccessScope& operator=(const AccessScope&) = delete;

  /// Closes; throws DeviceFault for damaged margins.
  void finish();

 private:
  Accessor* outer_;
  bool open_ = true;
};

/// Makes the bytes accessible to the current operation if they are device memory. Throws
/// DeviceFault if it must not touch them.
void require_access(const void* pointer, std::size_t bytes, bool write);

/// Installs the handler of SIGSEGV. Repeated calls are cheap and put it back where a test framework
/// has replaced it.
void install_fault_handler();

}  // namespace emu::runtime
