#include "race.h"

#include <algorithm>

#include "state.h"

namespace emu {

bool checking_races = false;

namespace {

std::size_t clock_length = 0;
unsigned cluster_threads = 0;

void join(Clock& into, const Clock& from) {
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

// "thread 5", "thread 5 of block 1 of the cluster", "an asynchronous copy".
struct Name {
  char text[64];

  explicit Name(unsigned id) {
    const Cluster& cluster = execution.cluster;
    const auto threads = static_cast<unsigned>(cluster.blocks[0]->threads.size());
    if (id >= cluster_threads + cluster_threads / kWarpgroupLanes + cluster.size) {
      std::snprintf(text, sizeof text, "an asynchronous copy");
    } else if (id >= cluster_threads) {
      std::snprintf(text, sizeof text, "a wgmma");
    } else if (cluster.size > 1) {
      std::snprintf(text, sizeof text, "thread %u of block %u of the cluster", id % threads,
                    id / threads);
    } else {
      std::snprintf(text, sizeof text, "thread %u", id);
    }
  }
};

std::uint32_t address_of(std::size_t offset) {
  return static_cast<std::uint32_t>(offset) + kSharedBase;
}

[[noreturn]] void race(const char* what, std::size_t offset, const char* how, unsigned id) {
  fail("race on shared memory: %s at 0x%x, %s by %s, and no barrier orders the two", what,
       address_of(offset), how, Name(id).text);
}

void require_settled(const Cell& cell, std::size_t offset, const char* what) {
  if (cell.copies > 0) {
    fail("%s at 0x%x, where a cp.async or TMA copy is under way that was not waited for", what,
         address_of(offset));
  }
}

void check_read(const Cell& cell, const Clock& seen, std::size_t offset, const char* what) {
  require_settled(cell, offset, what);
  if (cell.writer == Cell::kNobody) {
    fail("%s of uninitialised shared memory at 0x%x", what, address_of(offset));
  }
  if (cell.write_time > seen[cell.writer]) race(what, offset, "written", cell.writer);
}

void check_write(const Cell& cell, const Clock& seen, std::size_t offset, const char* what) {
  require_settled(cell, offset, what);
  if (cell.engines > 0) {
    fail("%s at 0x%x, which a TMA store or wgmma still reads: it was not waited for", what,
         address_of(offset));
  }
  if (cell.writer != Cell::kNobody && cell.write_time > seen[cell.writer]) {
    race(what, offset, "written", cell.writer);
  }
  for (unsigned i = 0; i < Cell::kReaders; ++i) {
    if (cell.reader[i] != Cell::kNobody && cell.read_time[i] > seen[cell.reader[i]]) {
      race(what, offset, "read", cell.reader[i]);
    }
  }
}

// Remembers a read in place of one that happened before it; if there is none, of another.
void note_read(Cell& cell, unsigned id, std::uint32_t time, const Clock& seen) {
  unsigned slot = id % Cell::kReaders;
  for (unsigned i = 0; i < Cell::kReaders; ++i) {
    if (cell.reader[i] == id) {
      slot = i;
      break;
    }
    if (cell.reader[i] == Cell::kNobody || cell.read_time[i] <= seen[cell.reader[i]]) slot = i;
  }
  cell.reader[slot] = static_cast<std::uint16_t>(id);
  cell.read_time[slot] = time;
}

void note_write(Cell& cell, unsigned id, std::uint32_t time) {
  cell.writer = static_cast<std::uint16_t>(id);
  cell.write_time = time;
  std::fill(cell.reader, cell.reader + Cell::kReaders, Cell::kNobody);
}

}  // namespace

void Clocks::join(const Clocks& other) {
  emu::join(seen, other.seen);
  emu::join(fenced, other.fenced);
}

void Clocks::clear() {
  seen.assign(clock_length, 0);
  fenced.assign(clock_length, 0);
}

void reset_clocks(Cluster& cluster) {
  if (!checking_races) return;
  const auto threads = static_cast<unsigned>(cluster.blocks[0]->threads.size());
  cluster_threads = threads * cluster.size;
  clock_length = cluster_threads + (cluster_threads / kWarpgroupLanes + cluster.size) + kEngines;
  cluster.barrier.gathered.clear();
  for (unsigned rank = 0; rank < cluster.size; ++rank) {
    Block& block = *cluster.blocks[rank];
    for (Barrier& barrier : block.barriers) barrier.gathered.clear();
    block.ended.clear();
    for (auto& thread : block.threads) {
      thread->clocks.clear();
      thread->clocks.seen[thread->id] = 1;
    }
  }
}

unsigned warpgroup_clock(const Fiber& thread) {
  const auto threads = static_cast<unsigned>(thread.block->threads.size());
  const unsigned per_block = threads / kWarpgroupLanes;
  return cluster_threads + thread.block->rank * per_block + thread.linear / kWarpgroupLanes;
}

unsigned engine_clock(unsigned engine) {
  return static_cast<unsigned>(clock_length) - kEngines + engine % kEngines;
}

void release(Fiber& thread, Clocks& into) {
  if (!checking_races) return;
  into.join(thread.clocks);
  ++thread.clocks.seen[thread.id];
}

void acquire(Fiber& thread, const Clocks& from) {
  if (checking_races) thread.clocks.join(from);
}

void fence_async(Fiber& thread) {
  if (!checking_races) return;
  thread.clocks.fenced = thread.clocks.seen;
  ++thread.clocks.seen[thread.id];
}

void Shadow::forget(std::size_t begin, std::size_t end) {
  std::fill(cells_.begin() + static_cast<std::ptrdiff_t>(begin),
            cells_.begin() + static_cast<std::ptrdiff_t>(std::min(end, cells_.size())), Cell{});
}

void Shadow::read(const Fiber& thread, std::uint32_t offset, std::size_t bytes, const char* what) {
  const Clock& seen = thread.clocks.seen;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    check_read(cells_[i], seen, i, what);
    note_read(cells_[i], thread.id, seen[thread.id], seen);
  }
}

void Shadow::write(const Fiber& thread, std::uint32_t offset, std::size_t bytes, const char* what) {
  const Clock& seen = thread.clocks.seen;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    check_write(cells_[i], seen, i, what);
    note_write(cells_[i], thread.id, seen[thread.id]);
  }
}

void Shadow::copy_begins(const Fiber& thread, std::uint32_t offset, std::size_t bytes,
                         const char* what) {
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    check_write(cells_[i], thread.clocks.seen, i, what);
    ++cells_[i].copies;
  }
}

void Shadow::copy_ended(unsigned writer, std::uint32_t time, std::uint32_t offset,
                        std::size_t bytes) {
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    --cells_[i].copies;
    note_write(cells_[i], writer, time);
  }
}

void Shadow::engine_begins(const Clocks& clocks, std::uint32_t offset, std::size_t bytes,
                           const char* what) {
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[i];
    check_read(cell, clocks.seen, i, what);
    if (cell.writer < cluster_threads && cell.write_time > clocks.fenced[cell.writer]) {
      fail("%s at 0x%x, written by %s without a fence.proxy.async between", what, address_of(i),
           Name(cell.writer).text);
    }
    ++cell.engines;
  }
}

void Shadow::engine_ended(unsigned reader, std::uint32_t time, std::uint32_t offset,
                          std::size_t bytes) {
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[i];
    --cell.engines;
    cell.reader[reader % Cell::kReaders] = static_cast<std::uint16_t>(reader);
    cell.read_time[reader % Cell::kReaders] = time;
  }
}

}  // namespace emu
