#include "access.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "report.h"
#include "runtime.h"

namespace emu::runtime {
namespace {

thread_local Accessor* accessor_of_thread = nullptr;

std::string on_stream(const Touch& touch) {
  const std::string stream =
      touch.at.stream == 0 ? "the default stream" : "stream " + std::to_string(touch.at.stream);
  return *touch.operation + " on " + stream;
}

std::string on_stream(const Accessor& accessor) {
  return on_stream(Touch{accessor.at, accessor.operation});
}

bool same(const Point& a, const Point& b) {
  return a.stream == b.stream && a.number == b.number;
}

bool unordered(const Accessor& accessor, const Touch& earlier) {
  return accessor.ordered && earlier.operation != nullptr && !same(earlier.at, accessor.at) &&
         !accessor.before.covers(earlier.at);
}

std::string conflict(const Accessor& accessor, const Block& block, const char* does,
                     const Touch& other, const char* did) {
  return on_stream(accessor) + " " + does + " an allocation of " + std::to_string(block.bytes) +
         " bytes that " + on_stream(other) + " " + did +
         ": no event, synchronisation or stream order puts one before the other";
}

std::string check_order(Accessor& accessor, const Block& block, Granule& granule, bool write) {
  if (!runtime_options().report_races) return {};
  const char* does = write ? "writes" : "reads";
  if (unordered(accessor, granule.write))
    return conflict(accessor, block, does, granule.write, "writes");
  if (!write) return {};
  for (const Touch& read : granule.reads)
    if (unordered(accessor, read)) return conflict(accessor, block, does, read, "reads");
  return {};
}

void remember(const Accessor& accessor, Granule& granule, bool write) {
  const Touch touch{accessor.at, accessor.operation};
  if (write) {
    granule.write = touch;
    granule.reads.clear();
    return;
  }
  for (Touch& read : granule.reads) {
    if (read.at.stream == touch.at.stream) {
      read = touch;
      return;
    }
  }
  granule.reads.push_back(touch);
}

void set_protection(Block& block, std::size_t first, std::size_t last, int protection) {
  const std::size_t begin = first * block.granule_bytes;
  const std::size_t end = std::min(last * block.granule_bytes, block.page_bytes);
  mprotect(block.pages + begin, end - begin, protection);
}

void open(Accessor& accessor, Block& block, std::size_t index, Granule::Open how) {
  block.granules[index].open = how;
  set_protection(block, index, index + 1,
                 how == Granule::kWrite ? PROT_READ | PROT_WRITE : PROT_READ);
  auto& touched = accessor.touched;
  if (std::find(touched.begin(), touched.end(), &block) == touched.end()) touched.push_back(&block);
}

}  // namespace

std::string try_access(Accessor& accessor, const void* pointer, std::size_t bytes, bool write) {
  if (bytes == 0) return {};
  Heap& heap = Heap::instance();
  const char* does = write ? " writes " : " reads ";
  Block* block = heap.find(pointer);
  const auto* address = static_cast<const char*>(pointer);
  if (block == nullptr || address < block->data || address + bytes > block->data + block->bytes) {
    return on_stream(accessor) + does + heap.describe(pointer);
  }
  if (block->is_freed) {
    return on_stream(accessor) + does + heap.describe(pointer) + " after it was freed by " +
           on_stream(block->freed);
  }
  if (unordered(accessor, block->allocated)) {
    return on_stream(accessor) + does + heap.describe(pointer) + ", which belongs to " +
           on_stream(block->allocated) + ": wait for an event recorded there after the allocation";
  }
  const auto first = static_cast<std::size_t>(address - block->pages) / block->granule_bytes;
  const auto last =
      (static_cast<std::size_t>(address - block->pages) + bytes - 1) / block->granule_bytes;
  const Granule::Open wanted = write ? Granule::kWrite : Granule::kRead;
  for (std::size_t i = first; i <= last; ++i) {
    Granule& granule = block->granules[i];
    if (granule.open >= wanted) continue;
    std::string problem = check_order(accessor, *block, granule, write);
    if (!problem.empty()) return problem;
    remember(accessor, granule, write);
    open(accessor, *block, i, wanted);
  }
  return {};
}

bool open_anyway(Accessor& accessor, const void* pointer, const std::string& problem) {
  Block* block = Heap::instance().find(pointer);
  if (block == nullptr || block->is_freed || !block->contains(pointer)) return false;
  if (accessor.problem.empty()) accessor.problem = problem;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(pointer) - block->pages);
  open(accessor, *block, offset / block->granule_bytes, Granule::kWrite);
  return true;
}

std::string close_all(Accessor& accessor) {
  std::string problem = std::move(accessor.problem);
  for (Block* block : accessor.touched) {
    if (block->is_freed) continue;
    bool written = false;
    for (const Granule& granule : block->granules) written |= granule.open == Granule::kWrite;
    if (written && problem.empty()) {
      set_protection(*block, 0, block->granules.size(), PROT_READ | PROT_WRITE);
      const std::string damage = Heap::check_margins(*block);
      if (!damage.empty()) problem = on_stream(accessor) + " wrote " + damage;
    }
    for (Granule& granule : block->granules) granule.open = Granule::kClosed;
    set_protection(*block, 0, block->granules.size(), PROT_NONE);
  }
  accessor.touched.clear();
  accessor.problem.clear();
  return problem;
}

std::string may_free(const Accessor& accessor, const Block& block) {
  if (unordered(accessor, block.allocated)) {
    return on_stream(accessor) + " frees an allocation of " + std::to_string(block.bytes) +
           " bytes of " + on_stream(block.allocated) + " without having waited for that stream";
  }
  if (!runtime_options().report_races) return {};
  for (const Granule& granule : block.granules) {
    if (unordered(accessor, granule.write))
      return conflict(accessor, block, "frees", granule.write, "writes");
    for (const Touch& read : granule.reads)
      if (unordered(accessor, read)) return conflict(accessor, block, "frees", read, "reads");
  }
  return {};
}

Accessor* current_accessor() {
  return accessor_of_thread;
}

AccessScope::AccessScope(Accessor& accessor) : outer_(accessor_of_thread) {
  install_fault_handler();
  if (outer_ == nullptr) accessor_of_thread = &accessor;
}

AccessScope::~AccessScope() {
  if (!open_ || outer_ != nullptr) return;
  const std::scoped_lock lock(Heap::instance().mutex);
  close_all(*accessor_of_thread);
  accessor_of_thread = nullptr;
}

void AccessScope::finish() {
  open_ = false;
  if (outer_ != nullptr) return;
  std::string problem;
  {
    const std::scoped_lock lock(Heap::instance().mutex);
    problem = close_all(*accessor_of_thread);
    accessor_of_thread = nullptr;
  }
  if (!problem.empty()) throw DeviceFault{cudaErrorIllegalAddress, problem};
}

void require_access(const void* pointer, std::size_t bytes, bool write) {
  Heap& heap = Heap::instance();
  if (bytes == 0 || !heap.in_range(pointer)) return;
  const std::scoped_lock lock(heap.mutex);
  const std::string problem = try_access(*accessor_of_thread, pointer, bytes, write);
  if (!problem.empty()) throw DeviceFault{cudaErrorIllegalAddress, problem};
}

}  // namespace emu::runtime
