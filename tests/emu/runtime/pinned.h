// Page-locked host memory: blocks from cudaMallocHost, and ranges given to cudaHostRegister.
//
// Copies between it and the device return before they have happened. Until the host has waited for
// such a copy, its pages cannot be touched (or not written, if the copy only reads them), so a
// missing wait faults with a report. Registered memory shares its pages with other things and stays
// open.
#pragma once

#include <cstddef>
#include <string>

#include "clock.h"

namespace emu::runtime {

/// Null if there is no memory. The bytes are filled with 0xff.
void* allocate_pinned(std::size_t bytes);
/// False unless allocate_pinned gave it.
bool free_pinned(void* data);
bool register_pinned(void* data, std::size_t bytes);
bool unregister_pinned(void* data);
/// Whether all of the bytes are page-locked.
bool is_pinned(const void* pointer, std::size_t bytes);
/// The base address of the pinned range that holds it, or null.
const void* pinned_base(const void* pointer);

/// A copy that was issued as `at` will read or write the bytes.
void close_pinned(const void* pointer, std::size_t bytes, bool write, const Point& at,
                  const std::string* operation);
/// Opens what the host has waited for.
void reopen_pinned_memory();

/// While it lives, the bytes are open although a copy is pending: the copy itself runs.
class PinnedAccess {
 public:
  PinnedAccess(const void* pointer, std::size_t bytes);
  ~PinnedAccess();
  PinnedAccess(const PinnedAccess&) = delete;
  PinnedAccess& operator=(const PinnedAccess&) = delete;

 private:
  const void* pointer_;
};

/// What to tell a host that faults there: "" unless the bytes wait for a copy.
std::string explain_pinned_fault(const void* pointer);

std::size_t pinned_blocks();
std::size_t pinned_bytes();

}  // namespace emu::runtime
