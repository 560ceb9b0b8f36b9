// Instructions that the lanes of a warp, or the threads of a warpgroup, execute together.
#include <bit>
#include <cstring>

#include "state.h"

namespace emu {
namespace {

Fiber& fiber_of(const Lanes& lanes, unsigned lane) {
  return static_cast<Fiber&>(*lanes.thread[lane]);
}

void open(Collective& collective, const char* name, std::uint32_t mask, unsigned count) {
  collective.pending = true;
  collective.name = name;
  collective.arrived = 0;
  collective.lanes.mask = mask;
  collective.lanes.count = count;
  std::memset(collective.lanes.operand, 0, sizeof collective.lanes.operand);
  std::memset(collective.lanes.thread, 0, sizeof collective.lanes.thread);
}

// The current thread was the last to come: executes, and lets the others go on.
void finish(Collective& collective, void (*execute)(Lanes&)) {
  if (execute != nullptr) execute(collective.lanes);
  collective.pending = false;
  for (unsigned lane = 0; lane < collective.lanes.count; ++lane) {
    if (collective.lanes.thread[lane] == nullptr) continue;
    Fiber& fiber = fiber_of(collective.lanes, lane);
    if (collective.lanes.mask == ~0U) fiber.waits = 0;
    if (&fiber != current) fiber.state = State::kReady;
  }
}

// The lanes of a warp that are waiting in `collective`.
std::uint32_t waiting(const Collective& collective) {
  std::uint32_t mask = 0;
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    if (collective.lanes.thread[lane] != nullptr) mask |= 1U << lane;
  }
  return mask;
}

Collective& slot_for(Warp& warp, const char* name, std::uint32_t mask) {
  for (Collective& slot : warp.slots) {
    if (!slot.pending || (slot.lanes.mask & mask) == 0) continue;
    if (slot.lanes.mask != mask || std::strcmp(slot.name, name) != 0) {
      fail(
          "divergent warp: lane %u is in %s with mask %08x while lanes %08x wait in %s with mask "
          "%08x",
          current->lane, name, mask, waiting(slot), slot.name, slot.lanes.mask);
    }
    return slot;
  }
  for (Collective& slot : warp.slots) {
    if (slot.pending) continue;
    open(slot, name, mask, kWarpLanes);
    return slot;
  }
  fail("%s: more than %zu groups of lanes wait in one warp", name, std::size(warp.slots));
}

}  // namespace

void warp_collective(const char* name, std::uint32_t mask, void* operand, void (*execute)(Lanes&)) {
  Fiber& fiber = me();
  Warp& warp = fiber.block->warps[fiber.warp];
  if ((mask >> fiber.lane & 1) == 0) {
    fail("%s: lane %u calls with mask %08x, which does not name it", name, fiber.lane, mask);
  }
  if ((mask & warp.ended) != 0) {
    fail("%s: mask %08x names lanes that have ended (%08x)", name, mask, mask & warp.ended);
  }
  // In the last warp of a block with a broken number of threads a full mask names lanes that do
  // not exist, which CUDA allows.
  const std::uint32_t present = mask & warp.exists;
  Collective& slot = slot_for(warp, name, present);
  slot.lanes.operand[fiber.lane] = operand;
  slot.lanes.thread[fiber.lane] = &fiber;
  if (++slot.arrived < static_cast<unsigned>(std::popcount(present))) {
    block_on(name, present);
    return;
  }
  finish(slot, execute);
}

void warpgroup_collective(const char* name, void* operand, void (*execute)(Lanes&)) {
  Fiber& fiber = me();
  Block& block = *fiber.block;
  const unsigned group = fiber.linear / kWarpgroupLanes;
  if (group >= block.warpgroups.size()) {
    fail("%s by thread %u, which is in no full warpgroup of 128", name, fiber.linear);
  }
  Collective& collective = block.warpgroups[group].collective;
  if (!collective.pending) {
    open(collective, name, ~0U, kWarpgroupLanes);
  } else if (std::strcmp(collective.name, name) != 0) {
    fail("divergent warpgroup: %s while %u threads of it wait in %s", name, collective.arrived,
         collective.name);
  }
  const unsigned lane = fiber.linear % kWarpgroupLanes;
  collective.lanes.operand[lane] = operand;
  collective.lanes.thread[lane] = &fiber;
  if (++collective.arrived < kWarpgroupLanes) {
    block_on(name, group);
    return;
  }
  finish(collective, execute);
}

void sync_warp(std::uint32_t mask) {
  warp_collective("__syncwarp", mask, nullptr, [](Lanes& lanes) {
    if (!checking_races) return;
    static Clocks all;
    all.clear();
    for (unsigned lane = 0; lane < lanes.count; ++lane) {
      if (lanes.thread[lane] != nullptr) release(fiber_of(lanes, lane), all);
    }
    for (unsigned lane = 0; lane < lanes.count; ++lane) {
      if (lanes.thread[lane] != nullptr) acquire(fiber_of(lanes, lane), all);
    }
  });
}

void require_together(const char* name, const Lanes& lanes) {
  for (unsigned lane = 0; lane < lanes.count; ++lane) {
    if (lanes.thread[lane] == nullptr) fail("%s in a partial warp", name);
    const unsigned first = lane / kWarpLanes * kWarpLanes;
    if (fiber_of(lanes, lane).waits == fiber_of(lanes, first).waits) continue;
    fail(
        "%s is .aligned, but lanes %u and %u come from different paths: one of them has waited "
        "for something that the other has not. Put __syncwarp() before it",
        name, first % kWarpLanes, lane % kWarpLanes);
  }
}

void set_max_registers(unsigned registers) {
  if (registers < 24 || registers > 256 || registers % 8 != 0) {
    fail("setmaxnreg %u: 24 to 256, a multiple of 8", registers);
  }
  warpgroup_collective("setmaxnreg", nullptr,
                       [](Lanes& lanes) { require_together("setmaxnreg", lanes); });
}

}  // namespace emu
