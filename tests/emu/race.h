// The race checker: vector clocks, and who last touched each byte of shared memory. It works when
// kernels are compiled with -fsanitize=thread and tsan_hooks.cpp, not libtsan, is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emu {

struct Block;
struct Cluster;
struct Fiber;
struct Region;

extern bool checking_races;

using Clock = std::vector<std::uint32_t>;

/// What somebody knows of the others: entry t of `seen` is the time of thread t up to which
/// everything it did happened before. `fenced` is the same for what has also passed a
/// fence.proxy.async on its way, which is what the async proxy may read.
///
/// Behind the threads of the cluster come the warpgroups (for what wgmma reads) and kEngines clocks
/// of asynchronous copies, one for each mbarrier that they complete on.
struct Clocks {
  Clock seen, fenced;

  void join(const Clocks& other);
  void clear();
};

constexpr unsigned kEngines = 64;

/// Sizes the clocks of a cluster that is about to run.
void reset_clocks(Cluster& cluster);
unsigned warpgroup_clock(const Fiber& thread);
unsigned engine_clock(unsigned engine);

/// The thread makes everything that it knows available through `into`, and its time goes on.
void release(Fiber& thread, Clocks& into);
void acquire(Fiber& thread, const Clocks& from);
void fence_async(Fiber& thread);

/// Who touched one byte.
struct Cell {
  static constexpr std::uint16_t kNobody = 0xffff;
  static constexpr unsigned kReaders = 4;

  std::uint32_t write_time = 0;
  std::uint32_t read_time[kReaders] = {};
  std::uint16_t writer = kNobody;
  std::uint16_t reader[kReaders] = {kNobody, kNobody, kNobody, kNobody};
  std::uint8_t copies = 0;   // cp.async and TMA copies to it that nobody has waited for
  std::uint8_t engines = 0;  // TMA stores and wgmma that still read it
};

class Shadow {
 public:
  void resize(std::size_t bytes) { cells_.resize(bytes); }
  void forget(std::size_t begin, std::size_t end);

  /// Accesses by a thread, or by what acts for it. Offsets count from the start of the arena.
  void read(const Fiber& thread, std::uint32_t offset, std::size_t bytes, const char* what);
  void write(const Fiber& thread, std::uint32_t offset, std::size_t bytes, const char* what);

  /// A copy into shared memory: from its issue until it is known to have ended, its bytes are
  /// nobody's. `copy_ended` makes them written by `writer` at `time`.
  void copy_begins(const Fiber& thread, std::uint32_t offset, std::size_t bytes, const char* what);
  void copy_ended(unsigned writer, std::uint32_t time, std::uint32_t offset, std::size_t bytes);

  /// Reads by the async proxy, issued by `thread`.
  void engine_begins(const Clocks& clocks, std::uint32_t offset, std::size_t bytes,
                     const char* what);
  void engine_ended(unsigned reader, std::uint32_t time, std::uint32_t offset, std::size_t bytes);

 private:
  std::vector<Cell> cells_;
};

}  // namespace emu
