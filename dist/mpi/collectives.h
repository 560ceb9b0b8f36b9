// Collectives made of messages. Not part of the public interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/dist/mpi/transport.h"

namespace minidl::dist {

// Built on messages and not on MPI's own collectives for two reasons. Sums are added up in the
// order of the ranks, element by element, so their bits depend on the inputs only: not on the
// element's place in a buffer, the MPI, or its tuning. And each collective has its own tag, so that
// ranks which call different ones wait (until a deadline speaks) and never take each other's bytes.

/// Dense memory of `count` elements.
struct Block {
  std::byte* data = nullptr;
  std::size_t count = 0;
  DType dtype = f32;

  std::size_t bytes() const { return count * size_of(dtype); }
  Block slice(std::size_t begin, std::size_t length) const {
    return {data + begin * size_of(dtype), length, dtype};
  }
};

/// One rank's side of each collective. Large blocks go in chunks.
class Collectives {
 public:
  explicit Collectives(Transport& transport) : transport_(transport) {}

  void all_reduce(const Block& block, Reduction op, int tag);
  void broadcast(const Block& block, int root, int tag);
  void all_gather(const Block& part, const Block& whole, int tag);
  void reduce_scatter(const Block& whole, const Block& part, Reduction op, int tag);

  /// Returns when every rank has called it.
  void barrier(int tag);

  /// Waits for a GPU as the others wait for ranks: until the deadline, and while nobody stops it.
  void wait(const Event& event) { transport_.wait(event); }

 private:
  void all_reduce_small(const Block& block, Reduction op, int tag);
  void all_reduce_chunk(const Block& chunk, Reduction op, int tag);
  // Sends outgoing[r] to each other rank r and reduces what they send into `result`, together with
  // outgoing[rank()], all of result's length. `result` may be any of this rank's own blocks.
  void reduce_from_all(const std::vector<Block>& outgoing, const Block& result, Reduction op,
                       int tag);
  // Sends blocks[rank()] to every other rank and receives theirs.
  void gather_from_all(const std::vector<Block>& blocks, int tag);

  Transport& transport_;
  std::vector<std::byte> scratch_;
};

}  // namespace minidl::dist
