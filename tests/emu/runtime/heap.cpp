#include "heap.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <set>
#include <stdexcept>

#include "../sanitizer.h"
#include "report.h"
#include "runtime.h"

namespace emu::runtime {
namespace {

constexpr std::size_t kReserve = std::size_t{1} << 40;
constexpr std::size_t kLeastReserve = std::size_t{1} << 33;
constexpr std::size_t kAlignment = 256;  // what cudaMalloc promises
constexpr std::size_t kGranulesPerBlock = 64;
constexpr std::size_t kRememberedFrees = 20000;
constexpr int kPoison = 0xff;              // NaN in every float type, -1 in every integer
constexpr std::uint16_t kMargin = 0xfffb;  // NaN, too, but not what fresh memory holds

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Margins are poisoned for AddressSanitizer, which must not stop the two functions below.
#define NO_ASAN __attribute__((no_sanitize("address"), noinline))

NO_ASAN void fill_margin(char* begin, char* end) {
  for (char* p = begin; p < end; ++p)
    *reinterpret_cast<volatile unsigned char*>(p) =
        static_cast<unsigned char>(kMargin >> (reinterpret_cast<std::uintptr_t>(p) % 2 * 8));
}

NO_ASAN const char* find_damage(const char* begin, const char* end) {
  for (const char* p = begin; p < end; ++p) {
    const auto expected =
        static_cast<unsigned char>(kMargin >> (reinterpret_cast<std::uintptr_t>(p) % 2 * 8));
    if (*reinterpret_cast<const volatile unsigned char*>(p) != expected) return p;
  }
  return nullptr;
}

void protect(char* pages, std::size_t bytes, int protection) {
  if (mprotect(pages, bytes, protection) != 0)
    throw std::runtime_error(
        "emu: mprotect failed: more memory areas than vm.max_map_count allows?");
}

void print_leaks_at_exit() {
  const std::string leaks = leak_report();
  if (!leaks.empty()) std::fprintf(stderr, "%s", leaks.c_str());
}

}  // namespace

const std::string* intern(const std::string& text) {
  static std::mutex mutex;
  static auto* strings = new std::set<std::string>;
  const std::scoped_lock lock(mutex);
  return &*strings->insert(text).first;
}

Heap& Heap::instance() {
  static auto* heap = new Heap;  // leaked: memory may be freed by the last static destructor
  return *heap;
}

Heap::Heap() {
  for (reserved_ = kReserve; reserved_ >= kLeastReserve; reserved_ /= 2) {
    void* range =
        mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    madvise(range, reserved_, MADV_DONTDUMP);
    base_ = next_ = static_cast<char*>(range);
    std::atexit(print_leaks_at_exit);
    return;
  }
  throw std::runtime_error("emu: no 8 GiB of addresses for device memory (ulimit -v?)");
}

char* Heap::find_place(std::size_t bytes) {
  for (int round = 0; round < 2; ++round) {
    char* place = next_;
    while (place + bytes <= base_ + reserved_) {
      auto later = blocks_.lower_bound(place);
      if (later != blocks_.begin()) {
        const auto before = std::prev(later);
        if (before->second.pages + before->second.page_bytes + kPage > place) later = before;
      }
      if (later == blocks_.end() || later->second.pages >= place + bytes) return place;
      if (later->second.is_freed) {
        forget(later);
      } else {
        place = later->second.pages + later->second.page_bytes + kPage;
      }
    }
    next_ = base_;
  }
  return nullptr;
}

void Heap::forget(std::map<char*, Block>::iterator block) {
  std::erase(freed_, block->first);
  blocks_.erase(block);
}

Block* Heap::allocate(std::size_t bytes, std::size_t limit, bool pooled, const Touch& by) {
  const std::size_t rounded = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  if (bytes > limit || live_bytes_ + rounded > limit) return nullptr;
  const std::size_t page_bytes = round_up(rounded, kPage);
  char* pages = find_place(page_bytes + kPage);
  if (pages == nullptr) return nullptr;
  next_ = pages + page_bytes + kPage;

  Block block;
  block.pages = pages;
  block.page_bytes = page_bytes;
  block.data = pages + (page_bytes - rounded);
  block.bytes = bytes;
  block.allocated = by;
  block.pooled = pooled;
  block.granule_bytes = kPage * ((page_bytes / kPage + kGranulesPerBlock - 1) / kGranulesPerBlock);
  block.granules.resize((page_bytes + block.granule_bytes - 1) / block.granule_bytes);

  protect(pages, page_bytes, PROT_READ | PROT_WRITE);
  EMU_UNPOISON(pages, page_bytes);
  std::memset(block.data, kPoison, bytes);
  fill_margin(pages, block.data);
  fill_margin(block.data + bytes, pages + page_bytes);
  EMU_POISON(block.data + bytes, page_bytes - (block.data + bytes - pages));
  EMU_POISON(pages, block.data - pages);
  protect(pages, page_bytes, PROT_NONE);

  ++live_blocks_;
  live_bytes_ += rounded;
  peak_bytes_ = std::max(peak_bytes_, live_bytes_);
  return &(blocks_[pages] = std::move(block));
}

void Heap::release(Block& block, const Touch& by) {
  EMU_UNPOISON(block.pages, block.page_bytes);
  protect(block.pages, block.page_bytes, PROT_NONE);
  madvise(block.pages, block.page_bytes, MADV_DONTNEED);
  block.freed = by;
  block.is_freed = true;
  block.granules.clear();
  block.granules.shrink_to_fit();
  --live_blocks_;
  live_bytes_ -= round_up(std::max<std::size_t>(block.bytes, 1), kAlignment);
  freed_.push_back(block.pages);
  if (freed_.size() > kRememberedFrees) {
    blocks_.erase(freed_.front());
    freed_.pop_front();
  }
}

Block* Heap::find(const void* pointer) {
  auto* address = static_cast<char*>(const_cast<void*>(pointer));
  auto later = blocks_.upper_bound(address);
  if (later == blocks_.begin()) return nullptr;
  Block& block = std::prev(later)->second;
  return address < block.pages + block.page_bytes + kPage ? &block : nullptr;
}

Block* Heap::starting_at(const void* pointer) {
  Block* block = find(pointer);
  return block != nullptr && block->data == pointer ? block : nullptr;
}

// The block that the address lies in, or the nearer of its neighbours.
Block* Heap::nearest(const void* pointer) {
  auto* address = static_cast<char*>(const_cast<void*>(pointer));
  Block* before = find(pointer);
  const auto later = blocks_.upper_bound(address);
  if (later == blocks_.end() || later->second.data - address > static_cast<std::ptrdiff_t>(kPage))
    return before;
  if (before == nullptr) return &later->second;
  const auto past = address - (before->data + before->bytes);
  return past >= later->second.data - address ? &later->second : before;
}

std::string Heap::describe(const void* pointer) {
  char text[160];
  const Block* block = nearest(pointer);
  if (block == nullptr) {
    std::snprintf(text, sizeof text, "%p (in no block)", pointer);
    return text;
  }
  const char* address = static_cast<const char*>(pointer);
  const char* what = block->is_freed ? "a freed allocation" : "an allocation";
  if (address < block->data) {
    std::snprintf(text, sizeof text, "%p (%td bytes before %s of %zu bytes)", pointer,
                  block->data - address, what, block->bytes);
  } else if (address >= block->data + block->bytes) {
    std::snprintf(text, sizeof text, "%p (%td bytes past the end of %s of %zu bytes)", pointer,
                  address - block->data - static_cast<std::ptrdiff_t>(block->bytes), what,
                  block->bytes);
  } else {
    std::snprintf(text, sizeof text, "%p (byte %td of %s of %zu bytes)", pointer,
                  address - block->data, what, block->bytes);
  }
  return text;
}

std::string Heap::leaks() const {
  std::string lines;
  for (const auto& [pages, block] : blocks_) {
    if (block.is_freed || block.freeing) continue;
    char line[200];
    std::snprintf(line, sizeof line, "emu: leaked %zu bytes of device memory at %p, from %s\n",
                  block.bytes, static_cast<void*>(block.data), block.allocated.operation->c_str());
    lines += line;
  }
  return lines;
}

std::string Heap::check_margins(const Block& block) {
  const char* damage = find_damage(block.data + block.bytes, block.pages + block.page_bytes);
  char text[160];
  if (damage != nullptr) {
    std::snprintf(text, sizeof text, "%td bytes past the end of an allocation of %zu bytes",
                  damage - block.data - static_cast<std::ptrdiff_t>(block.bytes), block.bytes);
    return text;
  }
  damage = find_damage(block.pages, block.data);
  if (damage == nullptr) return {};
  std::snprintf(text, sizeof text, "%td bytes before an allocation of %zu bytes",
                block.data - damage, block.bytes);
  return text;
}

}  // namespace emu::runtime

std::string emu::leak_report() {
  runtime::Heap& heap = runtime::Heap::instance();
  const std::scoped_lock lock(heap.mutex);
  return heap.leaks();
}
