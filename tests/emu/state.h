// What the emulator keeps per thread, warp, warpgroup, block and cluster while a kernel runs.
// Internal: kernels see cuda/*.h and device.h, launchers engine.h.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "device.h"
#include "engine.h"
#include "fiber.h"
#include "race.h"
#include "thread.h"

namespace emu {

constexpr unsigned kWarpLanes = 32;
constexpr unsigned kWarpgroupLanes = 128;
constexpr unsigned kBarriers = 16;
constexpr std::uint32_t kSharedBase = 1024;         // the first shared address of a block
constexpr std::uint32_t kSharedLimit = 227 * 1024;  // what a block may have, sm_90
constexpr std::uint32_t kStaticLimit = 48 * 1024;   // of that, static
constexpr std::uint32_t kGuardBytes = 64;           // behind every variable
constexpr std::uint32_t kArenaBytes = kSharedLimit + 32 * 1024;  // with the guards

enum class State : std::uint8_t { kReady, kSpinning, kBlocked, kEnded };

// What a thread waits for, for the report of a deadlock.
struct Wait {
  const char* what = "";
  std::uint64_t where = 0, detail = 0;
};

// One cp.async: `bytes` into shared memory, those past `source_bytes` zero.
struct Copy {
  std::uint32_t to;
  const void* from;
  unsigned bytes, source_bytes;
  bool done;
};

// One TMA store, which first reads the whole box from shared memory, then writes it.
struct BulkStore {
  std::function<void()> read, write;  // null when done
  std::uint32_t offset = 0, bytes = 0;
  bool waited_for = false;  // the thread knows that it has been read

  void do_read() { std::exchange(read, nullptr)(); }
  void do_write() { std::exchange(write, nullptr)(); }
};

template <class Item>
struct Groups {  // what commit and wait count
  std::vector<Item> open;
  std::deque<std::vector<Item>> committed;

  void commit() {
    committed.push_back(std::move(open));
    open.clear();
  }
  void clear() {
    open.clear();
    committed.clear();
  }
  std::size_t items() const {
    std::size_t n = open.size();
    for (const auto& group : committed) n += group.size();
    return n;
  }
};

// The last thing a thread polled; polling the same thing again is spinning.
struct Poll {
  const void* address = nullptr;
  std::uint64_t value = 0;
};

struct Fiber : Thread {
  Context context;
  State state = State::kReady;
  Wait wait;
  Poll poll;
  unsigned id = 0;     // number within the cluster
  unsigned waits = 0;  // since its warp was last together: see require_together
  Groups<Copy> copies;
  Groups<BulkStore> stores;
  Clocks clocks;
};

struct Collective {  // a warp's or warpgroup's instruction that some lanes have reached
  bool pending = false;
  const char* name = "";
  unsigned arrived = 0;
  Lanes lanes;
};

struct Warp {
  Collective slots[4];  // disjoint masks may be under way at the same time
  std::uint32_t exists = 0, ended = 0;
};

struct Barrier {
  unsigned expected = 0, arrived = 0;
  std::vector<Fiber*> waiting;
  unsigned count = 0;  // __syncthreads_count and its like
  bool all = true, any = false;
  BarrierVotes result;
  Clocks gathered;
};

struct MBarrier {
  unsigned count = 0, pending = 0, phase = 0;
  std::int64_t bytes = 0;  // expected minus arrived
  Fiber* initialised_by = nullptr;
  bool fenced = false;  // its initialisation is known to the cluster and the async proxy
  unsigned engine = 0;  // race checker: whose clock the copies completing on it have
  Clocks gathered, completed;
};

struct WgmmaOp {
  WgmmaShape shape;
  void* d[kWarpgroupLanes];
  std::vector<std::uint32_t> saved;  // the accumulators' bits, while the registers hold poison
  std::vector<std::uint32_t> a;      // A, if it comes from registers
  std::uint64_t desc_a, desc_b;
  bool scale_d, done;
  std::vector<std::uint32_t> chunks;  // race checker: the addresses of the 16 bytes it reads each
};

struct Warpgroup {
  Collective collective;
  Groups<WgmmaOp> products;
  bool fenced = false;
  std::uint32_t finished = 0;  // race checker: time of its clock
};

struct Region {
  std::uint32_t begin, end;
};

struct Cluster;

struct Block {
  ~Block();

  Cluster* cluster = nullptr;
  uint3 index{};
  unsigned rank = 0;
  unsigned alive = 0;
  std::vector<std::unique_ptr<Fiber>> threads;
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups;
  Barrier barriers[kBarriers];
  std::unordered_map<std::uint32_t, MBarrier> mbarriers;

  // Shared memory: address a lies at arena[a - kSharedBase]. async_view is what the async proxy
  // (TMA, wgmma) is known to see: generic writes reach it with fence.proxy.async.
  char* arena = nullptr;
  char* async_view = nullptr;
  std::uint32_t dynamic_end = 0, top = 0;
  std::vector<Region> regions;

  Shadow shadow;
  Clocks ended;                              // race checker: what its ended threads knew
  std::map<unsigned, std::uint32_t> visits;  // race checker: remote accesses by thread id
};

struct Cluster {  // the blocks that are executed together; mostly one
  const Launch* launch = nullptr;
  std::vector<std::unique_ptr<Block>> blocks;
  unsigned size = 0;  // of blocks, those in use
  unsigned alive = 0;
  Barrier barrier;
  std::vector<std::function<void()>> in_flight;  // TMA loads
  std::vector<std::function<void()>> at_end;     // global writes of TMA stores
  std::map<const void*, std::uint32_t> statics;  // addresses, the same in all blocks
  unsigned static_bytes = 0;
  unsigned mbarriers = 0;
  std::uint32_t engine_time[kEngines] = {};  // race checker
};

// The one launch that is executed.
struct Execution {
  Context scheduler;
  StackPool stacks;
  Cluster cluster;
  Fiber* running = nullptr;  // null while the scheduler itself is at work
  std::unique_ptr<Error> error;
  std::mt19937 random{1};
  std::uint64_t switches = 0;
};
extern Execution execution;

inline Fiber& me() {
  return static_cast<Fiber&>(*current);
}
inline bool coin() {
  return (execution.random() & 1) != 0;
}

/// Whether something asynchronous happens at once.
bool completes_now();

/// Suspends the current thread until somebody makes it ready.
void block_on(const char* what, std::uint64_t where = 0, std::uint64_t detail = 0);

/// The thread asks for something that has not happened yet: lets the others run.
void spin(const char* what, const void* where);

/// Refuses an .aligned instruction in a warp whose lanes have gone separate ways: some have waited
/// for something that the others have not, and no instruction has brought them together since.
void require_together(const char* name, const Lanes& lanes);

// Checks at the end of a thread and of a cluster.
void thread_ends(Fiber& thread);
void cluster_ends(Cluster& cluster);

// The address of shared memory of a block, checked.
char* shared_at(Block& block, std::uint32_t address, std::size_t bytes, std::size_t align,
                const char* what);
/// The block that a shared::cluster address belongs to; `address` becomes one within that block.
Block& owner_of(std::uint32_t& address, const char* what);
void reset_shared(Block& block, std::size_t dynamic_bytes);
void check_guards(const Block& block);

// The two proxies' views of shared memory.
void async_write(Block& block, std::uint32_t address, const void* from, std::size_t bytes);
void require_async_sees(Block& block, std::uint32_t address, std::size_t bytes, const char* what);

// Arrivals and bytes that come from elsewhere: another block, TMA.
MBarrier& mbarrier_at(Block& block, std::uint32_t address, const char* what);
void require_fenced(const MBarrier& barrier, std::uint32_t address, const char* what);
void bytes_arrived(Block& block, std::uint32_t address, unsigned bytes, const Clocks& issued);
void check_mbarriers_at_end(const Block& block);
std::string describe_wait(const Fiber& thread);
/// Somebody touches shared memory of a block, which must not have ended; in remote_access it is the
/// current thread, and the block's end must be ordered after that.
void require_alive(const Block& block, const char* what);
void remote_access(Block& block, const char* what);
/// TMA stores that the thread has not waited for, and what becomes of the others when it ends.
unsigned stores_in_flight(const Fiber& thread);
void leave_writes(Fiber& thread);

}  // namespace emu
