// The shared memory of a block: one arena, dynamic memory first, then the static variables in the
// order in which threads come to their declarations. 64 guard bytes lie behind each.
#include <cstdlib>
#include <cstring>
#include <new>

#include "sanitizer.h"
#include "state.h"

namespace emu {
namespace {

constexpr std::size_t kAlignment = 1024;  // of the arena, so that 128-byte swizzles work
constexpr unsigned char kGuard = 0xb7;

std::uint32_t round_up(std::uint32_t value, std::uint32_t align) {
  return (value + align - 1) / align * align;
}

char* at(const Block& block, std::uint32_t address) {
  return block.arena + (address - kSharedBase);
}

char* new_arena() {
  void* memory = std::aligned_alloc(kAlignment, kArenaBytes);
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

// Fresh memory is poison, and known to the async proxy as such.
void add_region(Block& block, std::uint32_t begin, std::uint32_t end) {
  EMU_UNPOISON(at(block, begin), end - begin + kGuardBytes);
  std::memset(at(block, begin), options().poison, end - begin);
  std::memset(at(block, end), kGuard, kGuardBytes);
  EMU_POISON(at(block, end), kGuardBytes);
  if (block.async_view != nullptr) {
    std::memset(block.async_view + (begin - kSharedBase), options().poison, end - begin);
  }
  block.regions.push_back({begin, end});
  block.top = end + kGuardBytes;
}

bool inside(const Block& block, std::uint32_t address, std::size_t bytes) {
  for (const Region& region : block.regions) {
    if (address >= region.begin && address + bytes <= region.end) return true;
  }
  return false;
}

// Where p lies in the block's arena; kArenaBytes if it does not.
std::size_t offset_of(const Block& block, const void* p) {
  const auto offset =
      reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(block.arena);
  return offset < kArenaBytes ? offset : kArenaBytes;
}

// The instrumented accesses of kernel code: those to shared memory are checked.
void access(const void* p, std::size_t bytes, bool write) {
  if (!checking_races || execution.running == nullptr) return;
  Block& block = *current->block;
  const std::size_t offset = offset_of(block, p);
  if (offset == kArenaBytes) return;
  const auto at = static_cast<std::uint32_t>(offset);
  if (!inside(block, at + kSharedBase, bytes)) {
    fail("%s of %zu bytes at shared address 0x%x, outside of every shared variable",
         write ? "write" : "read", bytes, at + kSharedBase);
  }
  if (write) {
    block.shadow.write(me(), at, bytes, "write");
  } else {
    block.shadow.read(me(), at, bytes, "read");
  }
}

}  // namespace

Block::~Block() {
  for (char* memory : {arena, async_view}) {
    EMU_UNPOISON(memory, memory != nullptr ? kArenaBytes : 0);
    std::free(memory);
  }
}

void reset_shared(Block& block, std::size_t dynamic_bytes) {
  if (block.arena == nullptr) {
    block.arena = new_arena();
    block.top = kSharedBase;
    if (checking_races) block.shadow.resize(kArenaBytes);
  }
  if (checking_races) block.shadow.forget(0, block.top - kSharedBase);
  EMU_POISON(block.arena, kArenaBytes);
  std::free(block.async_view);
  block.async_view = nullptr;
  block.regions.clear();
  block.dynamic_end = kSharedBase + static_cast<std::uint32_t>(dynamic_bytes);
  add_region(block, kSharedBase, block.dynamic_end);
}

void check_guards(const Block& block) {
  for (const Region& region : block.regions) {
    char* guard = at(block, region.end);
    EMU_UNPOISON(guard, kGuardBytes);
    for (unsigned i = 0; i < kGuardBytes; ++i) {
      if (static_cast<unsigned char>(guard[i]) == kGuard) continue;
      throw Error(execution.cluster.launch->kernel,
                  "a block has written " + std::to_string(i + 1) +
                      " bytes past the end of a shared variable of " +
                      std::to_string(region.end - region.begin) + " bytes");
    }
  }
}

void* dynamic_shared() {
  return me().block->arena;
}

// The first thread to come to a declaration makes the variable in all blocks of the cluster.
void* static_shared(const void* key, std::size_t bytes, std::size_t align) {
  Block& block = *me().block;
  Cluster& cluster = execution.cluster;
  const auto known = cluster.statics.find(key);
  if (known != cluster.statics.end()) return at(block, known->second);
  const std::uint32_t begin = round_up(block.top, static_cast<std::uint32_t>(align));
  const auto end = static_cast<std::uint32_t>(begin + bytes);
  cluster.static_bytes += static_cast<unsigned>(bytes);
  if (cluster.static_bytes > kStaticLimit) {
    fail("%u bytes of static shared memory; there may be 48 KiB", cluster.static_bytes);
  }
  if (cluster.static_bytes + (block.dynamic_end - kSharedBase) > kSharedLimit) {
    fail("%u bytes of shared memory; a block may have 227 KiB",
         cluster.static_bytes + (block.dynamic_end - kSharedBase));
  }
  if (end + kGuardBytes > kSharedBase + kArenaBytes) fail("too many shared variables");
  for (unsigned rank = 0; rank < cluster.size; ++rank) {
    add_region(*cluster.blocks[rank], begin, end);
  }
  cluster.statics[key] = begin;
  return at(block, begin);
}

std::uint32_t shared_address(const void* p) {
  const std::size_t offset = offset_of(*me().block, p);
  if (offset == kArenaBytes) fail("%p is not an address in the block's shared memory", p);
  return static_cast<std::uint32_t>(offset) + kSharedBase;
}

char* shared_at(Block& block, std::uint32_t address, std::size_t bytes, std::size_t align,
                const char* what) {
  if (address % align != 0) {
    fail("%s: shared address 0x%x is not a multiple of %zu", what, address, align);
  }
  if (!inside(block, address, bytes)) {
    fail(
        "%s: %zu bytes at shared address 0x%x lie outside the block's shared memory (dynamic 0x%x "
        "to 0x%x)",
        what, bytes, address, kSharedBase, block.dynamic_end);
  }
  return at(block, address);
}

void on_read(const void* p, std::size_t bytes) {
  access(p, bytes, false);
}
void on_write(const void* p, std::size_t bytes) {
  access(p, bytes, true);
}

void* global_at(const void* p, std::size_t bytes, std::size_t align, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(p) % align != 0) {
    fail("%s: global address %p is not a multiple of %zu", what, p, align);
  }
#ifdef EMU_ASAN
  void* address = const_cast<void*>(p);
  if (void* bad = bytes > 0 ? __asan_region_is_poisoned(address, bytes) : nullptr) {
    fail("%s: %zu bytes at global address %p are out of bounds at %p", what, bytes, p, bad);
  }
#else
  (void)bytes;
#endif
  return const_cast<void*>(p);
}

namespace {

char* view_of(Block& block) {
  if (block.async_view == nullptr) {
    block.async_view = new_arena();
    std::memset(block.async_view, options().poison, block.top - kSharedBase);
  }
  return block.async_view;
}

}  // namespace

void async_write(Block& block, std::uint32_t address, const void* from, std::size_t bytes) {
  std::memcpy(at(block, address), from, bytes);
  std::memcpy(view_of(block) + (address - kSharedBase), from, bytes);
}

void require_async_sees(Block& block, std::uint32_t address, std::size_t bytes, const char* what) {
  if (checking_races) return;  // which knows it exactly
  if (std::memcmp(at(block, address), view_of(block) + (address - kSharedBase), bytes) != 0) {
    fail(
        "%s of shared memory at 0x%x, which threads have written without a fence.proxy.async "
        "since",
        what, address);
  }
}

void fence_proxy_async() {
  Block& block = *me().block;
  for (auto& [address, barrier] : block.mbarriers) {
    if (barrier.initialised_by == &me()) barrier.fenced = true;
  }
  fence_async(me());
  if (checking_races) return;
  char* view = view_of(block);
  for (const Region& region : block.regions) {
    const std::uint32_t offset = region.begin - kSharedBase;
    std::memcpy(view + offset, block.arena + offset, region.end - region.begin);
  }
}

}  // namespace emu
