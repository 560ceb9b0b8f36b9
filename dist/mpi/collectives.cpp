#include "minidl/dist/mpi/collectives.h"

#include <algorithm>
#include <cstring>

namespace minidl::dist {
namespace {

// Blocks up to this size go to everybody in one step; it saves a round trip.
constexpr std::size_t kSmallBytes = std::size_t{16} << 10;
// Small enough for the sum to find it in the cache, large enough to hide the latency of a message.
constexpr std::size_t kChunkBytes = std::size_t{2} << 20;

std::size_t chunk_elements(DType dtype) {
  return kChunkBytes / size_of(dtype);
}

template <class Body>
void for_each_chunk(std::size_t count, std::size_t step, const Body& body) {
  for (std::size_t begin = 0; begin < count; begin += step) {
    body(begin, std::min(step, count - begin));
  }
}

// The parts into which `ranks` ranks divide a block, nearly equal.
std::vector<Block> split(const Block& block, int ranks) {
  std::vector<Block> parts;
  const auto n = static_cast<std::size_t>(ranks);
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t begin = block.count * r / n;
    parts.push_back(block.slice(begin, block.count * (r + 1) / n - begin));
  }
  return parts;
}

// NaN wins, as everywhere in minidl.
template <class T>
T larger(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
T smaller(T a, T b) {
  return a < b || a != a ? a : b;
}

// out[i] = the sum of all sources[k][i], from left to right. `out` may be one of the sources.
template <class T>
void reduce_rows(const std::vector<const T*>& sources, Reduction op, T* out, std::size_t count) {
  constexpr std::size_t kTile = 512;
  T tile[kTile];
  for_each_chunk(count, kTile, [&](std::size_t begin, std::size_t length) {
    std::copy_n(sources[0] + begin, length, tile);
    for (std::size_t s = 1; s < sources.size(); ++s) {
      const T* source = sources[s] + begin;
      switch (op) {
        case Reduction::sum:
        case Reduction::mean:
          for (std::size_t i = 0; i < length; ++i) tile[i] = tile[i] + source[i];
          break;
        case Reduction::max:
          for (std::size_t i = 0; i < length; ++i) tile[i] = larger(tile[i], source[i]);
          break;
        case Reduction::min:
          for (std::size_t i = 0; i < length; ++i) tile[i] = smaller(tile[i], source[i]);
          break;
      }
    }
    if (op == Reduction::mean) {
      const auto ranks = static_cast<T>(sources.size());
      for (std::size_t i = 0; i < length; ++i) tile[i] = tile[i] / ranks;
    }
    std::copy_n(tile, length, out + begin);
  });
}

void reduce_blocks(const std::vector<const std::byte*>& sources, Reduction op, const Block& out) {
  visit_arithmetic("reduce", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<const T*> typed;
    for (const std::byte* source : sources) typed.push_back(reinterpret_cast<const T*>(source));
    reduce_rows(typed, op, reinterpret_cast<T*>(out.data), out.count);
  });
}

}  // namespace

void Collectives::all_reduce(const Block& block, Reduction op, int tag) {
  if (block.bytes() <= kSmallBytes) {
    if (block.count > 0) all_reduce_small(block, op, tag);
    return;
  }
  for_each_chunk(block.count, chunk_elements(block.dtype), [&](std::size_t begin, std::size_t n) {
    all_reduce_chunk(block.slice(begin, n), op, tag);
  });
}

void Collectives::all_reduce_small(const Block& block, Reduction op, int tag) {
  const std::vector<Block> outgoing(static_cast<std::size_t>(transport_.size()), block);
  reduce_from_all(outgoing, block, op, tag);
}

void Collectives::all_reduce_chunk(const Block& chunk, Reduction op, int tag) {
  const std::vector<Block> parts = split(chunk, transport_.size());
  const Block& mine = parts[static_cast<std::size_t>(transport_.rank())];
  reduce_from_all(parts, mine, op, tag);
  gather_from_all(parts, tag);
}

void Collectives::reduce_scatter(const Block& whole, const Block& part, Reduction op, int tag) {
  const auto ranks = static_cast<std::size_t>(transport_.size());
  const std::size_t step = std::max<std::size_t>(chunk_elements(whole.dtype) / ranks, 1);
  for_each_chunk(part.count, step, [&](std::size_t begin, std::size_t length) {
    std::vector<Block> outgoing;
    for (std::size_t r = 0; r < ranks; ++r) {
      outgoing.push_back(whole.slice(r * part.count + begin, length));
    }
    reduce_from_all(outgoing, part.slice(begin, length), op, tag);
  });
}

void Collectives::all_gather(const Block& part, const Block& whole, int tag) {
  const auto ranks = static_cast<std::size_t>(transport_.size());
  const auto rank = static_cast<std::size_t>(transport_.rank());
  if (part.count == 0) return;
  std::memmove(whole.slice(rank * part.count, part.count).data, part.data, part.bytes());
  for_each_chunk(part.count, chunk_elements(part.dtype), [&](std::size_t begin, std::size_t n) {
    std::vector<Block> blocks;
    for (std::size_t r = 0; r < ranks; ++r) {
      blocks.push_back(whole.slice(r * part.count + begin, n));
    }
    gather_from_all(blocks, tag);
  });
}

// A binomial tree: in its k-th round each rank that has the data hands it to the rank 2^k further
// on, counted from the root.
void Collectives::broadcast(const Block& block, int root, int tag) {
  const int size = transport_.size();
  const int place = (transport_.rank() - root + size) % size;
  const auto rank_at = [&](int other) { return (other + root) % size; };
  for_each_chunk(block.count, chunk_elements(block.dtype), [&](std::size_t begin, std::size_t n) {
    const Block chunk = block.slice(begin, n);
    int step = 1;
    while (step <= place) step *= 2;
    if (place > 0) {
      transport_.exchange({{rank_at(place - step / 2), chunk.data, chunk.bytes()}}, {}, tag);
    }
    Messages sends;
    for (; place + step < size; step *= 2) {
      sends.push_back({rank_at(place + step), chunk.data, chunk.bytes()});
    }
    transport_.exchange({}, sends, tag);
  });
}

void Collectives::barrier(int tag) {
  std::vector<std::byte> flags(static_cast<std::size_t>(transport_.size()));
  std::vector<Block> blocks;
  for (std::byte& flag : flags) blocks.push_back({&flag, 1, u8});
  gather_from_all(blocks, tag);
}

void Collectives::reduce_from_all(const std::vector<Block>& outgoing, const Block& result,
                                  Reduction op, int tag) {
  const int rank = transport_.rank();
  scratch_.resize(std::max(scratch_.size(), result.bytes() * outgoing.size()));
  Messages receives;
  Messages sends;
  std::vector<const std::byte*> sources;
  std::byte* incoming = scratch_.data();
  for (int r = 0; r < transport_.size(); ++r) {
    const Block& block = outgoing[static_cast<std::size_t>(r)];
    if (r == rank) {
      sources.push_back(block.data);
      continue;
    }
    receives.push_back({r, incoming, result.bytes()});
    sends.push_back({r, block.data, block.bytes()});
    sources.push_back(incoming);
    incoming += result.bytes();
  }
  transport_.exchange(receives, sends, tag);
  reduce_blocks(sources, op, result);
}

void Collectives::gather_from_all(const std::vector<Block>& blocks, int tag) {
  const int rank = transport_.rank();
  const Block& mine = blocks[static_cast<std::size_t>(rank)];
  Messages receives;
  Messages sends;
  for (int r = 0; r < transport_.size(); ++r) {
    if (r == rank) continue;
    const Block& theirs = blocks[static_cast<std::size_t>(r)];
    receives.push_back({r, theirs.data, theirs.bytes()});
    sends.push_back({r, mine.data, mine.bytes()});
  }
  transport_.exchange(receives, sends, tag);
}

}  // namespace minidl::dist
