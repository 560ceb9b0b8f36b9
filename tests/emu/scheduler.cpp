// Runs the threads of a cluster, one at a time, until all have ended: in which order, and what to
// do when none can go on.
#include "scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

namespace emu {

__thread Thread* current = nullptr;
Execution execution;

namespace {

// How many turns of threads that only poll pass before it is called a hang.
constexpr std::uint64_t kPolls = 5'000'000;

void fiber_entry() {
  arrived();
  Fiber& fiber = me();
  try {
    execution.cluster.launch->body();
    thread_ends(fiber);
  } catch (const Error& error) {
    if (!execution.error) execution.error = std::make_unique<Error>(error);
  } catch (const std::exception& error) {
    if (!execution.error) {
      execution.error = std::make_unique<Error>(execution.cluster.launch->kernel, fiber.block_index,
                                                fiber.thread_index, error.what());
    }
  }
  fiber.state = State::kEnded;
  leave(fiber.context, execution.scheduler, true);
  __builtin_unreachable();
}

void resume(Fiber& fiber) {
  Execution& e = execution;
  if (fiber.context.stack == nullptr) {
    prepare(fiber.context, e.stacks.take(stack_bytes()), fiber.linear, fiber_entry);
  }
  fiber.state = State::kReady;
  current = &fiber;
  e.running = &fiber;
  ++e.switches;
  enter(e.scheduler, fiber.context);
  e.running = nullptr;
  current = nullptr;
  if (fiber.state == State::kEnded) {
    e.stacks.give_back(fiber.context.stack);
    fiber.context.stack = nullptr;
  }
  if (e.error) throw Error(*e.error);
}

struct WarpRef {
  Block* block;
  unsigned begin, end;  // its threads
};

// One pass over a warp's lanes. Returns whether one of them did something other than poll.
bool pass(const WarpRef& warp, std::uint64_t& polls) {
  const unsigned lanes = warp.end - warp.begin;
  bool backward = options().order == Order::kReverse;
  unsigned first = 0;
  if (options().order == Order::kRandom) {
    const auto bits = static_cast<std::uint32_t>(execution.random());
    backward = (bits & 1) != 0;
    first = (bits >> 1) % lanes;
  }
  bool progress = false;
  for (unsigned i = 0; i < lanes; ++i) {
    const unsigned lane = backward ? (2 * lanes - 1 - i - first) % lanes : (first + i) % lanes;
    Fiber& fiber = *warp.block->threads[warp.begin + lane];
    if (fiber.state != State::kReady && fiber.state != State::kSpinning) continue;
    resume(fiber);
    if (fiber.state == State::kSpinning) {
      ++polls;
    } else {
      progress = true;
    }
  }
  return progress;
}

void complete_one_load(Cluster& cluster, std::size_t which) {
  auto load = std::move(cluster.in_flight[which]);
  cluster.in_flight.erase(cluster.in_flight.begin() + static_cast<std::ptrdiff_t>(which));
  load();
}

// Every warp gets a turn. Returns whether anything but polling happened.
bool round_of_turns(Cluster& cluster, std::vector<WarpRef>& warps, std::uint64_t& polls) {
  const bool random = options().order == Order::kRandom;
  if (random) std::shuffle(warps.begin(), warps.end(), execution.random);
  bool progress = false;
  for (const WarpRef& warp : warps) {
    // A warp goes on until all of its lanes wait; in random order, not always that long.
    unsigned passes = random ? 1 + execution.random() % 8 : ~0U;
    while (passes-- > 0 && pass(warp, polls)) progress = true;
    if (options().completion == Completion::kRandom && !cluster.in_flight.empty() && coin()) {
      complete_one_load(cluster, execution.random() % cluster.in_flight.size());
      progress = true;
    }
  }
  return progress;
}

// "threads 0..31 of block (0,0,0) wait in …", neighbours that wait for the same together.
std::string describe_threads(const Cluster& cluster) {
  std::string text;
  for (unsigned rank = 0; rank < cluster.size; ++rank) {
    const Block& block = *cluster.blocks[rank];
    for (std::size_t i = 0; i < block.threads.size();) {
      const std::string wait = describe_wait(*block.threads[i]);
      std::size_t j = i + 1;
      while (j < block.threads.size() && describe_wait(*block.threads[j]) == wait) ++j;
      char where[120];
      std::snprintf(where, sizeof where, "\n  block (%u,%u,%u) threads %zu to %zu: ", block.index.x,
                    block.index.y, block.index.z, i, j - 1);
      text += where + wait;
      i = j;
    }
  }
  return text;
}

void run_threads(Cluster& cluster) {
  std::vector<WarpRef> warps;
  for (unsigned rank = 0; rank < cluster.size; ++rank) {
    Block& block = *cluster.blocks[rank];
    const auto threads = static_cast<unsigned>(block.threads.size());
    for (unsigned i = 0; i < threads; i += kWarpLanes) {
      warps.push_back({&block, i, std::min(i + kWarpLanes, threads)});
    }
  }
  if (options().order == Order::kReverse) std::reverse(warps.begin(), warps.end());

  std::uint64_t polls = 0;
  while (cluster.alive > 0) {
    const std::uint64_t before = polls;
    if (round_of_turns(cluster, warps, polls)) {
      polls = 0;
    } else if (!cluster.in_flight.empty()) {
      complete_one_load(cluster, 0);
      polls = 0;
    } else if (polls == before) {
      throw Error(cluster.launch->kernel, "deadlock" + describe_threads(cluster));
    } else if (polls > kPolls) {
      throw Error(cluster.launch->kernel,
                  "threads poll for something that never comes. A block must not wait for another "
                  "block (of another cluster): the GPU may not run the two together" +
                      describe_threads(cluster));
    }
  }
}

void set_up_thread(Fiber& thread, Block& block, unsigned linear) {
  const Launch& launch = *block.cluster->launch;
  thread.linear = linear;
  thread.warp = linear / kWarpLanes;
  thread.lane = linear % kWarpLanes;
  thread.block = &block;
  thread.block_index = block.index;
  thread.block_dim = launch.block;
  thread.grid_dim = launch.grid;
  thread.thread_index = {linear % launch.block.x, linear / launch.block.x % launch.block.y,
                         linear / (launch.block.x * launch.block.y)};
  thread.id = block.rank * static_cast<unsigned>(block.threads.size()) + linear;
  thread.state = State::kReady;
  thread.wait = {};
  thread.poll = {};
  thread.waits = 0;
  thread.copies.clear();
  thread.stores.clear();
  block.warps[thread.warp].exists |= 1U << thread.lane;
}

void set_up_block(Block& block, uint3 index, unsigned rank) {
  const Launch& launch = *block.cluster->launch;
  const unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  block.index = index;
  block.rank = rank;
  block.alive = threads;
  block.threads.resize(std::min<std::size_t>(block.threads.size(), threads));
  while (block.threads.size() < threads) block.threads.push_back(std::make_unique<Fiber>());
  block.warps.assign((threads + kWarpLanes - 1) / kWarpLanes, Warp{});
  block.warpgroups.assign(threads / kWarpgroupLanes, Warpgroup{});
  for (Barrier& barrier : block.barriers) barrier = Barrier{};
  block.mbarriers.clear();
  block.visits.clear();
  reset_shared(block, launch.shared_bytes);
  for (unsigned i = 0; i < threads; ++i) set_up_thread(*block.threads[i], block, i);
}

}  // namespace

void run_cluster(const Launch& launch, uint3 first) {
  Cluster& cluster = execution.cluster;
  cluster.launch = &launch;
  cluster.size = launch.cluster.x * launch.cluster.y * launch.cluster.z;
  while (cluster.blocks.size() < cluster.size) {
    cluster.blocks.push_back(std::make_unique<Block>());
    cluster.blocks.back()->cluster = &cluster;
  }
  cluster.alive = 0;
  cluster.mbarriers = 0;
  cluster.statics.clear();
  cluster.static_bytes = 0;
  cluster.barrier = Barrier{};
  for (unsigned rank = 0; rank < cluster.size; ++rank) {
    const uint3 index{first.x + rank % launch.cluster.x,
                      first.y + rank / launch.cluster.x % launch.cluster.y,
                      first.z + rank / (launch.cluster.x * launch.cluster.y)};
    set_up_block(*cluster.blocks[rank], index, rank);
    cluster.alive += cluster.blocks[rank]->alive;
  }
  reset_clocks(cluster);
  run_threads(cluster);
  cluster_ends(cluster);
}

void abandon() {
  Execution& e = execution;
  for (auto& block : e.cluster.blocks) {
    for (auto& thread : block->threads) thread->context.stack = nullptr;
  }
  e.stacks.give_back_all();
  e.cluster.in_flight.clear();
  e.cluster.at_end.clear();
  e.running = nullptr;
  current = nullptr;
}

bool completes_now() {
  const Completion when = options().completion;
  return when == Completion::kEager || (when == Completion::kRandom && coin());
}

void block_on(const char* what, std::uint64_t where, std::uint64_t detail) {
  Fiber& fiber = me();
  fiber.state = State::kBlocked;
  fiber.wait = {what, where, detail};
  leave(fiber.context, execution.scheduler, false);
}

void spin(const char* what, const void* where) {
  Fiber& fiber = me();
  fiber.state = State::kSpinning;
  fiber.wait = {what, reinterpret_cast<std::uintptr_t>(where), 0};
  leave(fiber.context, execution.scheduler, false);
}

void polled(const void* address, std::uint64_t value) {
  if (execution.running == nullptr) return;
  Poll& last = me().poll;
  if (last.address == address && last.value == value) spin("polls", address);
  last = {address, value};
}

void nanosleep() {
  spin("sleeps in __nanosleep", nullptr);
}

}  // namespace emu
