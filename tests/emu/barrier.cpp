// The sixteen barriers of a block, and what must hold when threads and blocks end.
#include <cstdio>
#include <cstring>

#include "state.h"

namespace emu {
namespace {

constexpr const char* kSync = "bar.sync";

// Counts the thread in; true if it is the last one.
bool arrive(Barrier& barrier, unsigned expected, Fiber& fiber, const char* name, unsigned id) {
  if (barrier.arrived > 0 && barrier.expected != expected) {
    fail("%s %u: threads disagree on the number of threads, %u and %u", name, id, barrier.expected,
         expected);
  }
  barrier.expected = expected;
  release(fiber, barrier.gathered);
  return ++barrier.arrived == expected;
}

void open(Barrier& barrier) {
  barrier.result = {barrier.count, barrier.all, barrier.any};
  for (Fiber* fiber : barrier.waiting) {
    fiber->state = State::kReady;
    acquire(*fiber, barrier.gathered);
  }
  barrier.waiting.clear();
  barrier.arrived = 0;
  barrier.count = 0;
  barrier.all = true;
  barrier.any = false;
}

void wait(Barrier& barrier, Fiber& fiber, bool last, const char* name, unsigned id) {
  if (!last) {
    barrier.waiting.push_back(&fiber);
    block_on(name, id, barrier.expected);
    return;
  }
  open(barrier);
  acquire(fiber, barrier.gathered);
  if (checking_races) barrier.gathered.clear();
}

void check(unsigned id, unsigned threads, const char* name) {
  if (id >= kBarriers) fail("%s %u: there are barriers 0 to 15", name, id);
  if (threads % kWarpLanes != 0) {
    fail("%s %u: %u threads are not a multiple of 32", name, id, threads);
  }
}

// All threads of the block; an error if some will not come.
unsigned whole_block(const Block& block) {
  if (block.alive != block.threads.size()) {
    fail("__syncthreads() after %zu threads of the block have ended",
         block.threads.size() - block.alive);
  }
  return block.alive;
}

}  // namespace

void barrier_sync(unsigned id, unsigned threads) {
  Fiber& fiber = me();
  check(id, threads, kSync);
  Barrier& barrier = fiber.block->barriers[id];
  const unsigned expected = threads != 0 ? threads : whole_block(*fiber.block);
  const bool last = arrive(barrier, expected, fiber, kSync, id);
  wait(barrier, fiber, last, kSync, id);
  fiber.waits = 0;
}

void barrier_arrive(unsigned id, unsigned threads) {
  Fiber& fiber = me();
  check(id, threads, "bar.arrive");
  if (threads == 0) fail("bar.arrive %u needs a number of threads", id);
  Barrier& barrier = fiber.block->barriers[id];
  if (!arrive(barrier, threads, fiber, "bar.arrive", id)) return;
  open(barrier);
  if (checking_races) barrier.gathered.clear();
}

BarrierVotes barrier_vote(bool predicate) {
  Barrier& barrier = me().block->barriers[0];
  barrier.count += predicate ? 1 : 0;
  barrier.all = barrier.all && predicate;
  barrier.any = barrier.any || predicate;
  barrier_sync(0, 0);
  return barrier.result;
}

void cluster_sync() {
  warp_collective("barrier.cluster", ~0U, nullptr,
                  [](Lanes& lanes) { require_together("barrier.cluster", lanes); });
  Cluster& cluster = execution.cluster;
  const std::size_t all = cluster.size * cluster.blocks[0]->threads.size();
  if (cluster.alive != all) {
    fail("barrier.cluster after %zu threads of the cluster have ended", all - cluster.alive);
  }
  Fiber& fiber = me();
  const bool last = arrive(cluster.barrier, cluster.alive, fiber, "barrier.cluster", 0);
  wait(cluster.barrier, fiber, last, "barrier.cluster", 0);
}

void thread_ends(Fiber& thread) {
  Block& block = *thread.block;
  Warp& warp = block.warps[thread.warp];
  if (thread.copies.items() > 0) {
    fail("ends with %zu cp.async that were never waited for", thread.copies.items());
  }
  if (const unsigned stores = stores_in_flight(thread); stores > 0) {
    fail("ends with %u TMA stores that were never waited for (bulk_wait or bulk_wait_read)",
         stores);
  }
  const unsigned group = thread.linear / kWarpgroupLanes;
  if (group < block.warpgroups.size() && block.warpgroups[group].products.items() > 0) {
    fail("ends with %zu wgmma that were never waited for",
         block.warpgroups[group].products.items());
  }
  for (const Collective& slot : warp.slots) {
    if (slot.pending && (slot.lanes.mask >> thread.lane & 1) != 0) {
      fail("ends while %u lanes wait for it in %s with mask %08x", slot.arrived, slot.name,
           slot.lanes.mask);
    }
  }
  if (block.barriers[0].arrived > 0 && block.barriers[0].expected == block.threads.size()) {
    fail(
        "ends while %u threads wait at __syncthreads(): a return before a barrier, or a barrier "
        "in a branch",
        block.barriers[0].arrived);
  }
  if (execution.cluster.barrier.arrived > 0) {
    fail("ends while %u threads wait at the cluster barrier", execution.cluster.barrier.arrived);
  }
  leave_writes(thread);
  warp.ended |= 1U << thread.lane;
  if (checking_races) block.ended.join(thread.clocks);
  --execution.cluster.alive;
  if (--block.alive > 0) return;

  for (unsigned id = 0; id < kBarriers; ++id) {
    if (block.barriers[id].arrived > 0) {
      fail("the block ends, but %u of %u threads have arrived at barrier %u",
           block.barriers[id].arrived, block.barriers[id].expected, id);
    }
  }
  check_mbarriers_at_end(block);
  for (const auto& [visitor, time] : block.visits) {
    if (time > block.ended.seen[visitor]) {
      fail(
          "the block ends, but nothing orders that after what another block of the cluster does "
          "to its shared memory: a cluster barrier at the end is missing");
    }
  }
}

void cluster_ends(Cluster& cluster) {
  if (!cluster.in_flight.empty()) {
    throw Error(cluster.launch->kernel, "the block ends with " +
                                            std::to_string(cluster.in_flight.size()) +
                                            " TMA loads under way that nobody waited for");
  }
  for (auto& write : cluster.at_end) write();
  cluster.at_end.clear();
  for (unsigned rank = 0; rank < cluster.size; ++rank) check_guards(*cluster.blocks[rank]);
}

std::string describe_wait(const Fiber& thread) {
  char text[240];
  switch (thread.state) {
    case State::kEnded: return "ended";
    case State::kReady: return "ready";
    case State::kSpinning:
      std::snprintf(text, sizeof text, "%s at 0x%llx", thread.wait.what,
                    static_cast<unsigned long long>(thread.wait.where));
      return text;
    case State::kBlocked: break;
  }
  const auto where = static_cast<std::uint32_t>(thread.wait.where);
  const auto mbarrier = thread.block->mbarriers.find(where);
  if (std::strcmp(thread.wait.what, kSync) == 0) {
    const Barrier& barrier = thread.block->barriers[where];
    std::snprintf(text, sizeof text, "wait at barrier %u, where %u of %u have arrived", where,
                  barrier.arrived, barrier.expected);
  } else if (std::strcmp(thread.wait.what, "mbarrier wait") == 0 &&
             mbarrier != thread.block->mbarriers.end()) {
    const MBarrier& b = mbarrier->second;
    std::snprintf(text, sizeof text,
                  "wait for parity %u of the mbarrier at 0x%x, whose phase has parity %u: %u of %u "
                  "arrivals and %lld bytes are missing",
                  static_cast<unsigned>(thread.wait.detail), where, b.phase, b.pending, b.count,
                  static_cast<long long>(b.bytes));
  } else {
    std::snprintf(text, sizeof text, "wait in %s (%08x)", thread.wait.what, where);
  }
  return text;
}

}  // namespace emu
