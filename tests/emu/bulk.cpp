// Bulk copies from issue to completion: those to shared memory complete on mbarriers, those from it
// in groups of the thread that issued them. And the copies that need no tensor map.
#include "bulk.h"

#include <cstring>

#include "tensor_map.h"

namespace emu {
namespace {

constexpr const char *kBulkLoad = "cp.async.bulk to shared memory",
                     *kBulkStore = "cp.async.bulk to global memory",
                     *kBulkCluster = "cp.async.bulk to a block of the cluster";
constexpr unsigned kChunk = 16;  // what a swizzle moves, and bulk copies count in

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

void write_shared(Block& block, std::uint32_t to, unsigned swizzle, const Bytes& bytes) {
  for (unsigned i = 0; i < bytes.size(); i += kChunk) {
    async_write(block, swizzled(to + i, swizzle), bytes.data() + i, kChunk);
  }
}

Bytes read_shared(const Block& block, std::uint32_t from, std::uint32_t length, unsigned swizzle) {
  Bytes bytes(length);
  for (unsigned i = 0; i < length; i += kChunk) {
    const std::uint32_t at = swizzled(from + i, swizzle) - kSharedBase;
    std::memcpy(bytes.data() + i, block.arena + at, kChunk);
  }
  return bytes;
}

void finish_load(const Arrival& arrival, Block& block, const Bytes& bytes, const Clocks& issued) {
  require_alive(block, arrival.what);
  write_shared(block, arrival.to, arrival.swizzle, bytes);
  if (checking_races) {
    const unsigned engine = mbarrier_at(block, arrival.barrier, arrival.what).engine;
    const std::uint32_t time = ++execution.cluster.engine_time[engine];
    block.shadow.copy_ended(engine_clock(engine), time, arrival.to - kSharedBase, arrival.length);
    if (arrival.source_block != nullptr) {
      arrival.source_block->shadow.engine_ended(engine_clock(engine), time,
                                                arrival.source - kSharedBase, arrival.length);
    }
  }
  bytes_arrived(block, arrival.barrier, arrival.length, issued);
}

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

void require_whole_chunks(std::uint32_t bytes, const char* what) {
  if (bytes % kChunk != 0) fail("%s of %u bytes; multiples of %u", what, bytes, kChunk);
}

}  // namespace

void start_load(Arrival arrival, std::function<Bytes()> read) {
  Fiber& issuer = me();
  for (Block* block : arrival.blocks) {
    require_fenced(mbarrier_at(*block, arrival.barrier, arrival.what), arrival.barrier,
                   arrival.what);
    remote_access(*block, arrival.what);
    if (checking_races) {
      block->shadow.copy_begins(issuer, arrival.to - kSharedBase, arrival.length, arrival.what);
    }
  }
  Clocks issued;
  issued.clear();
  release(issuer, issued);
  auto load = [arrival = std::move(arrival), read = std::move(read), &issuer,
               issued = std::move(issued)] {
    const As as(issuer);
    const Bytes bytes = read();
    for (Block* block : arrival.blocks) finish_load(arrival, *block, bytes, issued);
  };
  if (options().completion == Completion::kEager) {
    load();
  } else {
    execution.cluster.in_flight.emplace_back(std::move(load));
  }
}

void start_store(const char* what, std::uint32_t from, std::uint32_t length, unsigned swizzle,
                 std::function<void(const Bytes&)> write) {
  Fiber& issuer = me();
  Block& block = *issuer.block;
  const std::uint32_t offset = from - kSharedBase;
  require_async_sees(block, from, length, what);
  if (checking_races) block.shadow.engine_begins(issuer.clocks, offset, length, what);

  auto bytes = std::make_shared<Bytes>();
  BulkStore store;
  store.offset = offset;
  store.bytes = length;
  store.read = [from, length, swizzle, &block, bytes] {
    *bytes = read_shared(block, from, length, swizzle);
  };
  store.write = [write = std::move(write), &issuer, bytes] {
    const As as(issuer);
    write(*bytes);
  };
  if (completes_now()) store.do_read();
  if (!store.read && completes_now()) store.do_write();
  issuer.stores.open.push_back(std::move(store));
}

void bulk_commit() {
  me().stores.commit();
}

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

void bulk_load(std::uint32_t to, const void* from, std::uint32_t bytes, std::uint32_t barrier) {
  require_whole_chunks(bytes, kBulkLoad);
  Block& block = *me().block;
  shared_at(block, to, bytes, kChunk, kBulkLoad);
  global_at(from, bytes, kChunk, kBulkLoad);
  start_load({kBulkLoad, {&block}, to, bytes, barrier}, [from, bytes] {
    const char* source = static_cast<const char*>(global_at(from, bytes, kChunk, kBulkLoad));
    return Bytes(source, source + bytes);
  });
}

void bulk_store(void* to, std::uint32_t from, std::uint32_t bytes) {
  require_whole_chunks(bytes, kBulkStore);
  shared_at(*me().block, from, bytes, kChunk, kBulkStore);
  global_at(to, bytes, kChunk, kBulkStore);
  start_store(kBulkStore, from, bytes, 0, [to](const Bytes& source) {
    std::memcpy(global_at(to, source.size(), kChunk, kBulkStore), source.data(), source.size());
  });
}

void bulk_copy_cluster(std::uint32_t to, std::uint32_t from, std::uint32_t bytes,
                       std::uint32_t barrier) {
  require_whole_chunks(bytes, kBulkCluster);
  Fiber& issuer = me();
  Block& block = *issuer.block;
  Block& target = owner_of(to, kBulkCluster);
  if (&owner_of(barrier, kBulkCluster) != &target) {
    fail("%s: the mbarrier is not in the block that the bytes go to", kBulkCluster);
  }
  shared_at(target, to, bytes, kChunk, kBulkCluster);
  shared_at(block, from, bytes, kChunk, kBulkCluster);
  require_async_sees(block, from, bytes, kBulkCluster);
  if (checking_races) {
    block.shadow.engine_begins(issuer.clocks, from - kSharedBase, bytes, kBulkCluster);
  }
  start_load({kBulkCluster, {&target}, to, bytes, barrier, 0, &block, from}, [&block, from, bytes] {
    require_alive(block, kBulkCluster);
    return read_shared(block, from, bytes, 0);
  });
}

}  // namespace emu
