#include "pinned.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "heap.h"
#include "streams.h"

namespace emu::runtime {
namespace {

struct Pending {
  char* begin;
  char* end;
  bool write;  // the copy writes these bytes
  Point at;
  const std::string* operation;
};

struct Range {
  std::size_t bytes = 0;
  std::size_t mapped = 0;  // 0: registered, not ours
  std::vector<Pending> pending;
};

struct Pinned {
  std::mutex mutex;
  std::map<char*, Range> ranges;
  std::size_t blocks = 0, bytes = 0;

  std::map<char*, Range>::iterator holding(const void* pointer) {
    auto* address = static_cast<char*>(const_cast<void*>(pointer));
    auto found = ranges.upper_bound(address);
    if (found == ranges.begin()) return ranges.end();
    --found;
    const std::size_t size = std::max(found->second.mapped, found->second.bytes);
    return address < found->first + size ? found : ranges.end();
  }
};

Pinned& pinned() {
  static auto* instance = new Pinned;  // leaked, as all that memory hangs on
  return *instance;
}

char* page_of(const void* pointer) {
  return reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(pointer) / kPage * kPage);
}

// The strictest of what the pending copies ask for, page by page.
void protect_for(const Pending* begin, const Pending* end) {
  for (const Pending* p = begin; p != end; ++p)
    if (!p->write) mprotect(p->begin, static_cast<std::size_t>(p->end - p->begin), PROT_READ);
  for (const Pending* p = begin; p != end; ++p)
    if (p->write) mprotect(p->begin, static_cast<std::size_t>(p->end - p->begin), PROT_NONE);
}

void apply(char* base, Range& range) {
  mprotect(base, range.mapped, PROT_READ | PROT_WRITE);
  protect_for(range.pending.data(), range.pending.data() + range.pending.size());
}

}  // namespace

void* allocate_pinned(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::size_t mapped = (bytes + kPage - 1) / kPage * kPage;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::memset(memory, 0xff, bytes);
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  p.ranges[static_cast<char*>(memory)] = {bytes, mapped, {}};
  ++p.blocks;
  p.bytes += bytes;
  return memory;
}

bool free_pinned(void* data) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.ranges.find(static_cast<char*>(data));
  if (found == p.ranges.end() || found->second.mapped == 0) return false;
  munmap(data, found->second.mapped);
  --p.blocks;
  p.bytes -= found->second.bytes;
  p.ranges.erase(found);
  return true;
}

bool register_pinned(void* data, std::size_t bytes) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  if (p.holding(data) != p.ranges.end()) return false;
  p.ranges[static_cast<char*>(data)] = {bytes, 0, {}};
  return true;
}

bool unregister_pinned(void* data) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.ranges.find(static_cast<char*>(data));
  if (found == p.ranges.end() || found->second.mapped != 0) return false;
  p.ranges.erase(found);
  return true;
}

bool is_pinned(const void* pointer, std::size_t bytes) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer);
  return found != p.ranges.end() &&
         static_cast<const char*>(pointer) + bytes <= found->first + found->second.bytes;
}

const void* pinned_base(const void* pointer) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer);
  return found == p.ranges.end() ? nullptr : found->first;
}

void close_pinned(const void* pointer, std::size_t bytes, bool write, const Point& at,
                  const std::string* operation) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer);
  if (found == p.ranges.end() || found->second.mapped == 0) return;
  Range& range = found->second;
  auto* first = static_cast<char*>(const_cast<void*>(pointer));
  // Pages that it shares with other bytes of the block stay open.
  char* begin = page_of(first + (first == found->first ? 0 : kPage - 1));
  const bool to_the_end = first + bytes == found->first + range.bytes;
  char* end = to_the_end ? found->first + range.mapped : page_of(first + bytes);
  if (begin >= end) return;
  range.pending.push_back({begin, end, write, at, operation});
  apply(found->first, range);
}

void reopen_pinned_memory() {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  for (auto& [base, range] : p.ranges) {
    const auto done = [](const Pending& pending) {
      return Queues::instance().host_knows(pending.at);
    };
    if (std::erase_if(range.pending, done) != 0) apply(base, range);
  }
}

PinnedAccess::PinnedAccess(const void* pointer, std::size_t bytes) : pointer_(pointer) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer);
  if (bytes == 0 || found == p.ranges.end() || found->second.mapped == 0) {
    pointer_ = nullptr;
  } else {
    mprotect(found->first, found->second.mapped, PROT_READ | PROT_WRITE);
  }
}

PinnedAccess::~PinnedAccess() {
  if (pointer_ == nullptr) return;
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer_);
  if (found != p.ranges.end()) apply(found->first, found->second);
}

std::string explain_pinned_fault(const void* pointer) {
  Pinned& p = pinned();
  const std::scoped_lock lock(p.mutex);
  const auto found = p.holding(pointer);
  if (found == p.ranges.end()) return {};
  for (const Pending& pending : found->second.pending) {
    if (pointer < pending.begin || pointer >= pending.end) continue;
    char text[240];
    std::snprintf(text, sizeof text,
                  "the host touched pinned memory at %p (block of %zu bytes) that %s on stream %d "
                  "%s: wait for the copy first",
                  pointer, found->second.bytes, pending.operation->c_str(), pending.at.stream,
                  pending.write ? "writes" : "reads");
    return text;
  }
  return {};
}

std::size_t pinned_blocks() {
  const std::scoped_lock lock(pinned().mutex);
  return pinned().blocks;
}

std::size_t pinned_bytes() {
  const std::scoped_lock lock(pinned().mutex);
  return pinned().bytes;
}

}  // namespace emu::runtime
