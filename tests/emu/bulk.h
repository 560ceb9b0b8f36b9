// Bulk copies, with and without a tensor map: what they share from issue to completion.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "state.h"

namespace emu {

using Bytes = std::vector<char>;

/// Where a copy to shared memory goes, and the mbarrier at each place that gets the bytes.
struct Arrival {
  const char* what;
  std::vector<Block*> blocks;
  std::uint32_t to, length, barrier;
  unsigned swizzle = 0;
  Block* source_block = nullptr;  // of a copy that comes from shared memory
  std::uint32_t source = 0;
};

/// Issues a copy to shared memory; `read` gets the bytes when it happens.
void start_load(Arrival arrival, std::function<Bytes()> read);

/// Issues a copy from the own block's shared memory, to be committed and waited for as a group;
/// `write` gets the bytes when it happens.
void start_store(const char* what, std::uint32_t from, std::uint32_t length, unsigned swizzle,
                 std::function<void(const Bytes&)> write);

/// The alignment that a tensor's box has in shared memory: 128 bytes, or where the pattern of the
/// swizzle begins.
inline std::size_t box_alignment(unsigned swizzle) {
  return std::size_t{128} << swizzle;
}

/// cp.reduce.async.bulk.tensor's table of element types.
void require_reducible(std::uint8_t type, Reduction operation);
/// to = to op from, an element of that CUtensorMapDataType.
void reduce_element(std::uint8_t type, Reduction operation, char* to, const char* from);

}  // namespace emu
