// Distributed shared memory. A shared::cluster address carries 1 + the rank of its block in the top
// byte; without that it is the own block's, as on the device.
#include <cstring>

#include "state.h"

namespace emu {
namespace {

constexpr unsigned kRankShift = 24;

}  // namespace

unsigned cluster_rank() {
  return me().block->rank;
}
unsigned cluster_size() {
  return execution.cluster.size;
}

std::uint32_t cluster_address(std::uint32_t address, unsigned rank) {
  if (rank >= execution.cluster.size) {
    fail("mapa to block %u of a cluster of %u", rank, execution.cluster.size);
  }
  if (address >> kRankShift != 0) fail("mapa of 0x%x, which is in another block", address);
  return address | (rank + 1) << kRankShift;
}

Block& owner_of(std::uint32_t& address, const char* what) {
  const unsigned rank = address >> kRankShift;
  if (rank == 0) return *me().block;
  if (rank > execution.cluster.size) fail("%s: 0x%x is no shared address", what, address);
  address &= (1U << kRankShift) - 1;
  return *execution.cluster.blocks[rank - 1];
}

void require_alive(const Block& block, const char* what) {
  if (block.alive == 0) {
    fail(
        "%s of shared memory of block %u of the cluster, which has ended: a cluster barrier at the "
        "end is missing",
        what, block.rank);
  }
}

void remote_access(Block& block, const char* what) {
  if (&block == me().block) return;
  require_alive(block, what);
  if (checking_races) block.visits[me().id] = me().clocks.seen[me().id];
}

void load_shared_cluster(std::uint32_t address, void* to, unsigned bytes) {
  Block& block = owner_of(address, "ld.shared::cluster");
  const char* from = shared_at(block, address, bytes, bytes, "ld.shared::cluster");
  remote_access(block, "ld.shared::cluster");
  if (checking_races) block.shadow.read(me(), address - kSharedBase, bytes, "ld.shared::cluster");
  std::memcpy(to, from, bytes);
}

void store_shared_cluster(std::uint32_t address, const void* from, unsigned bytes) {
  Block& block = owner_of(address, "st.shared::cluster");
  char* to = shared_at(block, address, bytes, bytes, "st.shared::cluster");
  remote_access(block, "st.shared::cluster");
  if (checking_races) block.shadow.write(me(), address - kSharedBase, bytes, "st.shared::cluster");
  std::memcpy(to, from, bytes);
}

}  // namespace emu
