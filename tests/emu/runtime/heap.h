// Device memory: one large range of addresses that nobody may touch, except where and while an
// operation of the device works on it (access.h).
//
// Each block has pages of its own, with an untouchable page behind it, and ends at the end of its
// last page (as far as 256-byte alignment allows), so that reading past the end faults. The bytes
// of those pages that belong to nobody hold a pattern, which is checked after each write. Addresses
// are not used again before the whole range has been: what is freed stays known, and closed.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "clock.h"

namespace emu::runtime {

/// Who did something to memory.
struct Touch {
  Point at;
  const std::string* operation = nullptr;  ///< null: nobody yet
};

/// The unit in which accesses are remembered: a page, or a 64th of a block of more than 64 pages.
struct Granule {
  Touch write;               ///< the last one
  std::vector<Touch> reads;  ///< the last one of each stream since then
  enum Open : unsigned char { kClosed, kRead, kWrite } open = kClosed;
};

struct Block {
  char* pages = nullptr;
  std::size_t page_bytes = 0;
  char* data = nullptr;
  std::size_t bytes = 0;
  Touch allocated;
  Touch freed;
  bool freeing = false;  ///< freed in stream order, which that stream has not reached yet
  bool is_freed = false;
  bool pooled = false;  ///< from cudaMallocAsync
  std::size_t granule_bytes = 0;
  std::vector<Granule> granules;

  bool contains(const void* pointer) const { return pointer >= data && pointer < data + bytes; }
};

constexpr std::size_t kPage = 4096;

/// A string with that content that lives as long as the process.
const std::string* intern(const std::string& text);

class Heap {
 public:
  static Heap& instance();

  /// Protects everything below. Held for moments only, never while an operation runs.
  std::mutex mutex;

  /// Null when `limit` bytes of blocks would be exceeded.
  Block* allocate(std::size_t bytes, std::size_t limit, bool pooled, const Touch& by);
  void release(Block& block, const Touch& by);

  /// The live or freed block whose pages, guard page included, hold the address; or null.
  Block* find(const void* pointer);
  /// The block that starts there, freed ones included; or null.
  Block* starting_at(const void* pointer);
  bool in_range(const void* pointer) const {
    return pointer >= base_ && pointer < base_ + reserved_;
  }

  /// "0x… (byte 12 of a block of 4000 bytes)"
  std::string describe(const void* pointer);

  std::size_t live_blocks() const { return live_blocks_; }
  std::size_t live_bytes() const { return live_bytes_; }
  std::size_t peak_bytes() const { return peak_bytes_; }
  void reset_peak() { peak_bytes_ = live_bytes_; }
  std::string leaks() const;

  /// "" or what was found in the bytes around the block.
  static std::string check_margins(const Block& block);

 private:
  Heap();
  Block* nearest(const void* pointer);
  char* find_place(std::size_t bytes);
  void forget(std::map<char*, Block>::iterator block);

  char* base_ = nullptr;
  std::size_t reserved_ = 0;
  char* next_ = nullptr;
  std::map<char*, Block> blocks_;  // by first page
  std::deque<char*> freed_;        // oldest first
  std::size_t live_blocks_ = 0, live_bytes_ = 0, peak_bytes_ = 0;
};

}  // namespace emu::runtime
