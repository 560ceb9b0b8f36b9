// Bulk tensor copies between global and shared memory, whole boxes at a time.
#include <algorithm>
#include <array>
#include <cstring>

#include "state.h"
#include "tensor_map.h"

namespace emu {
namespace {

constexpr const char *kLoad = "TMA load", *kStore = "TMA store";

// A box of a tensor: where its first element lies.
struct Box {
  TensorMap map;
  std::array<std::int64_t, kMaxRank> corner{};

  Box(const TensorMap& m, const std::int32_t* coordinates) : map(m) {
    for (unsigned i = 0; i < map.rank; ++i) corner[i] = coordinates[i];
  }
};

// Calls visit(row's number, global address of its first element, begin, end) for every row, the run
// of neighbours along the innermost dimension; begin..end are those that lie in the tensor.
template <class Visit>
void for_each_row(const Box& box, Visit visit) {
  const TensorMap& map = box.map;
  std::array<unsigned, kMaxRank> index{};
  const std::int64_t size = std::int64_t{map.last[0]} + 1;
  const auto clamp = [&](std::int64_t x) {
    return static_cast<unsigned>(std::clamp<std::int64_t>(x - box.corner[0], 0, map.box[0]));
  };
  for (unsigned row = 0;; ++row) {
    bool inside = true;
    std::int64_t offset = box.corner[0] * map.element_bytes;
    for (unsigned i = 1; i < map.rank; ++i) {
      const std::int64_t at = box.corner[i] + std::int64_t{index[i]} * map.step[i];
      inside = inside && at >= 0 && at <= map.last[i];
      offset += at * static_cast<std::int64_t>(map.stride[i]);
    }
    const unsigned begin = inside ? clamp(0) : 0, end = inside ? clamp(size) : 0;
    visit(row, offset, begin, end);
    unsigned i = 1;
    while (i < map.rank && ++index[i] == map.box[i]) index[i++] = 0;
    if (i >= map.rank) return;
  }
}

using Bytes = std::vector<char>;

Bytes read_global(const Box& box) {
  const TensorMap& map = box.map;
  const std::size_t row_bytes = std::size_t{map.box[0]} * map.element_bytes;
  Bytes bytes(box_bytes(map), 0);
  for_each_row(box, [&](unsigned row, std::int64_t offset, unsigned begin, unsigned end) {
    if (begin >= end) return;
    const std::size_t skip = std::size_t{begin} * map.element_bytes,
                      length = std::size_t{end - begin} * map.element_bytes;
    const char* from = map.base + offset + static_cast<std::ptrdiff_t>(skip);
    std::memcpy(bytes.data() + row * row_bytes + skip, global_at(from, length, 1, kLoad), length);
  });
  return bytes;
}

void write_global(const Box& box, const Bytes& bytes) {
  const TensorMap& map = box.map;
  const std::size_t row_bytes = std::size_t{map.box[0]} * map.element_bytes;
  for_each_row(box, [&](unsigned row, std::int64_t offset, unsigned begin, unsigned end) {
    if (begin >= end) return;
    const std::size_t skip = std::size_t{begin} * map.element_bytes,
                      length = std::size_t{end - begin} * map.element_bytes;
    char* to = map.base + offset + static_cast<std::ptrdiff_t>(skip);
    std::memcpy(global_at(to, length, 1, kStore), bytes.data() + row * row_bytes + skip, length);
  });
}

void check_shared(Block& block, std::uint32_t address, const TensorMap& map, const char* what) {
  // 128 bytes, or where the pattern of the swizzle begins.
  const std::size_t align = map.swizzle == 0 ? 128 : std::size_t{128} << map.swizzle;
  shared_at(block, address, box_bytes(map), align, what);
}

constexpr unsigned kChunk = 16;  // what a swizzle moves

void write_shared(Block& block, std::uint32_t to, const TensorMap& map, const Bytes& bytes) {
  for (unsigned i = 0; i < bytes.size(); i += kChunk) {
    async_write(block, swizzled(to + i, map.swizzle), bytes.data() + i, kChunk);
  }
}

Bytes read_shared(const Block& block, std::uint32_t from, const TensorMap& map) {
  Bytes bytes(box_bytes(map));
  for (unsigned i = 0; i < bytes.size(); i += kChunk) {
    const std::uint32_t at = swizzled(from + i, map.swizzle) - kSharedBase;
    std::memcpy(bytes.data() + i, block.arena + at, kChunk);
  }
  return bytes;
}

// Errors of something asynchronous name the thread that issued it.
class As {
 public:
  explicit As(Fiber& issuer) : before_(current) { current = &issuer; }
  ~As() { current = before_; }
  As(const As&) = delete;
  As& operator=(const As&) = delete;

 private:
  Thread* before_;
};

std::vector<Block*> destinations(std::uint16_t multicast) {
  if (multicast == 0) return {me().block};
  std::vector<Block*> blocks;
  for (unsigned rank = 0; rank < 16; ++rank) {
    if ((multicast >> rank & 1) == 0) continue;
    if (rank >= execution.cluster.size) {
      fail("TMA multicast to block %u of a cluster of %u", rank, execution.cluster.size);
    }
    blocks.push_back(execution.cluster.blocks[rank].get());
  }
  return blocks;
}

void finish_load(const Box& box, std::uint32_t to, std::uint32_t barrier, Block& block,
                 const Bytes& bytes, const Clocks& issued) {
  require_alive(block, kLoad);
  write_shared(block, to, box.map, bytes);
  const auto length = static_cast<std::uint32_t>(bytes.size());
  if (checking_races) {
    const unsigned engine = mbarrier_at(block, barrier, kLoad).engine;
    const std::uint32_t time = ++execution.cluster.engine_time[engine];
    block.shadow.copy_ended(engine_clock(engine), time, to - kSharedBase, length);
  }
  bytes_arrived(block, barrier, length, issued);
}

}  // namespace

void tma_load(std::uint32_t to, const void* map, std::uint32_t barrier, unsigned rank,
              const std::int32_t* coordinates, std::uint16_t multicast) {
  const Box box(tensor_map_at(map, rank), coordinates);
  Fiber& issuer = me();
  auto blocks = destinations(multicast);
  for (Block* block : blocks) {
    check_shared(*block, to, box.map, kLoad);
    require_fenced(mbarrier_at(*block, barrier, kLoad), barrier, kLoad);
    remote_access(*block, kLoad);
    if (checking_races) {
      block->shadow.copy_begins(issuer, to - kSharedBase, box_bytes(box.map), kLoad);
    }
  }
  Clocks issued;
  issued.clear();
  release(issuer, issued);
  auto load = [box, to, barrier, &issuer, blocks = std::move(blocks), issued = std::move(issued)] {
    const As as(issuer);
    const Bytes bytes = read_global(box);
    for (Block* block : blocks) finish_load(box, to, barrier, *block, bytes, issued);
  };
  if (options().completion == Completion::kEager) {
    load();
  } else {
    execution.cluster.in_flight.emplace_back(std::move(load));
  }
}

void tma_store(const void* map, std::uint32_t from, unsigned rank,
               const std::int32_t* coordinates) {
  const Box box(tensor_map_at(map, rank), coordinates);
  Fiber& issuer = me();
  Block& block = *issuer.block;
  check_shared(block, from, box.map, kStore);
  const std::uint32_t length = box_bytes(box.map), offset = from - kSharedBase;
  require_async_sees(block, from, length, kStore);
  if (checking_races) block.shadow.engine_begins(issuer.clocks, offset, length, kStore);

  auto bytes = std::make_shared<Bytes>();
  BulkStore store;
  store.offset = offset;
  store.bytes = length;
  store.read = [box, from, &block, bytes] { *bytes = read_shared(block, from, box.map); };
  store.write = [box, &issuer, bytes] {
    const As as(issuer);
    write_global(box, *bytes);
  };
  if (completes_now()) store.do_read();
  if (!store.read && completes_now()) store.do_write();
  issuer.stores.open.push_back(std::move(store));
}

void bulk_commit() {
  me().stores.commit();
}

namespace {

// The groups but the last `pending` have read their source; the thread knows it.
void finish_reading(unsigned pending) {
  Fiber& fiber = me();
  auto& groups = fiber.stores.committed;
  for (std::size_t i = 0; i + pending < groups.size(); ++i) {
    for (BulkStore& store : groups[i]) {
      if (store.read) store.do_read();
      if (checking_races && !store.waited_for) {
        fiber.block->shadow.engine_ended(fiber.id, fiber.clocks.seen[fiber.id], store.offset,
                                         store.bytes);
      }
      store.waited_for = true;
    }
  }
}

}  // namespace

void bulk_wait_read(unsigned pending_groups) {
  finish_reading(pending_groups);
}

void bulk_wait(unsigned pending_groups) {
  finish_reading(pending_groups);
  auto& groups = me().stores.committed;
  while (groups.size() > pending_groups) {
    for (BulkStore& store : groups.front()) {
      if (store.write) store.do_write();
    }
    groups.pop_front();
  }
}

unsigned stores_in_flight(const Fiber& thread) {
  std::size_t n = thread.stores.open.size();
  for (const auto& group : thread.stores.committed) {
    for (const BulkStore& store : group) n += store.waited_for ? 0 : 1;
  }
  return static_cast<unsigned>(n);
}

// Stores that have been read may be written as late as the kernel's end.
void leave_writes(Fiber& thread) {
  for (auto& group : thread.stores.committed) {
    for (BulkStore& store : group) {
      if (store.write) execution.cluster.at_end.push_back(std::move(store.write));
    }
  }
}

}  // namespace emu
