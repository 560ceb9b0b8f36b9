// mbarrier objects. Their state lives beside shared memory; the 8 bytes in it hold a mark, so that
// overwriting them is noticed.
#include <cstring>

#include "state.h"

namespace emu {
namespace {

constexpr unsigned kMaxCount = (1U << 20) - 1;
constexpr std::int64_t kMaxBytes = (1 << 20) - 1;
constexpr const char* kWait = "mbarrier wait";

std::uint64_t mark(std::uint32_t address) {
  return 0x6d62'6172'7269'6572U ^ address;
}

void complete_if_done(Block& block, std::uint32_t address, MBarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.count;
  if (checking_races) {
    barrier.completed = barrier.gathered;
    barrier.gathered.clear();
  }
  for (auto& thread : block.threads) {
    if (thread->state == State::kBlocked && thread->wait.where == address &&
        std::strcmp(thread->wait.what, kWait) == 0) {
      thread->state = State::kReady;
    }
  }
}

// The thread uses the object: its initialisation must have happened before.
void note_use(Block& block, std::uint32_t address) {
  if (checking_races) block.shadow.read(me(), address - kSharedBase, 8, "use of an mbarrier");
}

}  // namespace

MBarrier& mbarrier_at(Block& block, std::uint32_t address, const char* what) {
  const char* object = shared_at(block, address, 8, 8, what);
  const auto found = block.mbarriers.find(address);
  if (found == block.mbarriers.end()) {
    fail("%s on the mbarrier at 0x%x, which was not initialised", what, address);
  }
  const std::uint64_t expected = mark(address);
  if (std::memcmp(object, &expected, 8) != 0) {
    fail("%s: something has overwritten the mbarrier at 0x%x", what, address);
  }
  return found->second;
}

void require_fenced(const MBarrier& barrier, std::uint32_t address, const char* what) {
  if (barrier.fenced) return;
  fail(
      "%s on the mbarrier at 0x%x: after its mbarrier.init there was no fence_mbarrier_init (or "
      "fence.proxy.async)",
      what, address);
}

void mbarrier_init(std::uint32_t address, unsigned count) {
  Block& block = *me().block;
  char* object = shared_at(block, address, 8, 8, "mbarrier.init");
  if (count == 0 || count > kMaxCount) fail("mbarrier.init with a count of %u", count);
  if (block.mbarriers.count(address) != 0) {
    fail("mbarrier.init: there is an mbarrier at 0x%x already (mbarrier.inval ends one)", address);
  }
  MBarrier& barrier = block.mbarriers[address];
  barrier.count = barrier.pending = count;
  barrier.initialised_by = &me();
  barrier.engine = execution.cluster.mbarriers++ % kEngines;
  barrier.gathered.clear();
  barrier.completed.clear();
  const std::uint64_t value = mark(address);
  std::memcpy(object, &value, 8);
  on_write(object, 8);
}

void mbarrier_invalidate(std::uint32_t address) {
  Block& block = *me().block;
  mbarrier_at(block, address, "mbarrier.inval");
  on_write(shared_at(block, address, 8, 8, "mbarrier.inval"), 8);
  block.mbarriers.erase(address);
}

void mbarrier_arrive(std::uint32_t address) {
  Block& block = owner_of(address, "mbarrier.arrive");
  MBarrier& barrier = mbarrier_at(block, address, "mbarrier.arrive");
  if (&block != me().block) {
    remote_access(block, "mbarrier.arrive");
    require_fenced(barrier, address, "mbarrier.arrive from another block");
  }
  note_use(block, address);
  if (barrier.pending == 0) {
    fail("mbarrier at 0x%x: more arrivals than its count of %u in one phase", address,
         barrier.count);
  }
  release(me(), barrier.gathered);
  --barrier.pending;
  complete_if_done(block, address, barrier);
}

void mbarrier_expect(std::uint32_t address, unsigned bytes) {
  Block& block = owner_of(address, "mbarrier.expect_tx");
  MBarrier& barrier = mbarrier_at(block, address, "mbarrier.expect_tx");
  note_use(block, address);
  barrier.bytes += bytes;
  if (barrier.bytes > kMaxBytes) {
    fail("mbarrier at 0x%x: expects %lld bytes, more than 2^20 - 1", address,
         static_cast<long long>(barrier.bytes));
  }
}

void bytes_arrived(Block& block, std::uint32_t address, unsigned bytes, const Clocks& issued) {
  MBarrier& barrier = mbarrier_at(block, address, "complete_tx");
  barrier.bytes -= bytes;
  if (barrier.bytes < -kMaxBytes) fail("mbarrier at 0x%x: too many bytes arrive", address);
  if (checking_races) {
    barrier.gathered.join(issued);
    barrier.gathered.seen[engine_clock(barrier.engine)] =
        execution.cluster.engine_time[barrier.engine];
  }
  complete_if_done(block, address, barrier);
}

bool mbarrier_test(std::uint32_t address, unsigned parity) {
  if (parity > 1) fail("mbarrier: parity %u", parity);
  Block& block = *me().block;
  const MBarrier& barrier = mbarrier_at(block, address, kWait);
  note_use(block, address);
  if (barrier.phase == parity) {
    polled(&barrier, parity);
    return false;
  }
  acquire(me(), barrier.completed);
  return true;
}

void mbarrier_wait(std::uint32_t address, unsigned parity) {
  if (parity > 1) fail("mbarrier: parity %u", parity);
  Fiber& fiber = me();
  ++fiber.waits;
  for (;;) {
    const MBarrier& barrier = mbarrier_at(*fiber.block, address, kWait);
    note_use(*fiber.block, address);
    if (barrier.phase != parity) {
      acquire(fiber, barrier.completed);
      return;
    }
    block_on(kWait, address, parity);
  }
}

void fence_mbarrier_init() {
  for (auto& [address, barrier] : me().block->mbarriers) {
    if (barrier.initialised_by == &me()) barrier.fenced = true;
  }
}

void check_mbarriers_at_end(const Block& block) {
  for (const auto& [address, barrier] : block.mbarriers) {
    if (barrier.bytes != 0) {
      fail(
          "the block ends, but the mbarrier at 0x%x still misses %lld bytes (negative: more came "
          "than were expected)",
          address, static_cast<long long>(barrier.bytes));
    }
  }
}

}  // namespace emu
