// cp.async: a thread's own asynchronous copies from global to shared memory.
#include <cstring>

#include "state.h"

namespace emu {
namespace {

constexpr const char* kName = "cp.async";

void copy_now(Copy& copy) {
  char* to = shared_at(*me().block, copy.to, copy.bytes, copy.bytes, kName);
  if (copy.source_bytes > 0) {
    std::memcpy(to, global_at(copy.from, copy.source_bytes, copy.bytes, kName), copy.source_bytes);
  }
  std::memset(to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
  copy.done = true;
}

void finish(std::vector<Copy>& group) {
  Fiber& fiber = me();
  for (Copy& copy : group) {
    if (!copy.done) copy_now(copy);
    if (checking_races) {
      fiber.block->shadow.copy_ended(fiber.id, fiber.clocks.seen[fiber.id], copy.to - kSharedBase,
                                     copy.bytes);
    }
  }
}

}  // namespace

void cp_async(std::uint32_t to, const void* from, unsigned bytes, unsigned source_bytes) {
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("cp.async of %u bytes; 4, 8 or 16", bytes);
  if (source_bytes > bytes) {
    fail("cp.async of %u bytes from a source of %u", bytes, source_bytes);
  }
  Fiber& fiber = me();
  shared_at(*fiber.block, to, bytes, bytes, kName);
  if (source_bytes > 0) global_at(from, source_bytes, bytes, kName);
  Copy copy{to, from, bytes, source_bytes, false};
  if (checking_races) fiber.block->shadow.copy_begins(fiber, to - kSharedBase, bytes, kName);
  if (completes_now()) copy_now(copy);
  fiber.copies.open.push_back(copy);
}

void cp_async_commit() {
  me().copies.commit();
}

void cp_async_wait(unsigned pending_groups) {
  auto& groups = me().copies.committed;
  while (groups.size() > pending_groups) {
    finish(groups.front());
    groups.pop_front();
  }
}

void cp_async_wait_all() {
  cp_async_wait(0);
  finish(me().copies.open);
  me().copies.open.clear();
}

}  // namespace emu
