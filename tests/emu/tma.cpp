// Bulk tensor copies between global and shared memory, whole boxes at a time.
#include <algorithm>
#include <array>
#include <cstring>

#include "bulk.h"
#include "tensor_map.h"

namespace emu {
namespace {

constexpr const char *kLoad = "TMA load", *kStore = "TMA store", *kReduce = "TMA reduction";

using Index = std::array<std::int64_t, kMaxRank>;

// A box of a tensor: where its first element lies. Of an im2col load, where the filter's base is,
// and where from there its element.
struct Box {
  TensorMap map;
  Index corner{}, offset{};

  Box(const TensorMap& m, const std::int32_t* coordinates) : map(m) {
    for (unsigned i = 0; i < map.rank; ++i) corner[i] = coordinates[i];
  }
};

// The place of the box's next row, of all dimensions but the innermost; false behind the last one.
// Tiled: `index` counts along each dimension.
bool next_tiled(const Box& box, Index& at, std::array<unsigned, kMaxRank>& index) {
  for (unsigned i = 1; i < box.map.rank; ++i) {
    at[i] += box.map.step[i];
    if (++index[i] < box.map.box[i]) return true;
    index[i] = 0;
    at[i] = box.corner[i];
  }
  return false;
}

// im2col: pixel by pixel through the bounding box, W first, then image by image.
void next_pixel(const TensorMap& map, Index& at) {
  const unsigned images = map.rank - 1U;
  for (unsigned i = 1; i < images; ++i) {
    at[i] += map.step[i];
    if (at[i] <= std::int64_t{map.last[i]} + map.upper[i - 1]) return;
    at[i] = map.lower[i - 1];
  }
  at[images] += map.step[images];
}

// Calls visit(row's number, global address of its first element, begin, end) for every row, the run
// of neighbours along the innermost dimension; begin..end are those that lie in the tensor.
template <class Visit>
void for_each_row(const Box& box, Visit visit) {
  const TensorMap& map = box.map;
  std::array<unsigned, kMaxRank> index{};
  Index at = box.corner;
  const std::int64_t size = std::int64_t{map.last[0]} + 1;
  const auto clamp = [&](std::int64_t x) {
    return static_cast<unsigned>(std::clamp<std::int64_t>(x - box.corner[0], 0, map.box[0]));
  };
  for (unsigned row = 0;; ++row) {
    bool inside = true;
    std::int64_t offset = box.corner[0] * map.element_bytes;
    for (unsigned i = 1; i < map.rank; ++i) {
      const std::int64_t place = at[i] + box.offset[i];
      inside = inside && place >= 0 && place <= map.last[i];
      offset += place * static_cast<std::int64_t>(map.stride[i]);
    }
    visit(row, offset, inside ? clamp(0) : 0, inside ? clamp(size) : 0);
    if (map.im2col) {
      if (row + 1 == map.box[1]) return;
      next_pixel(map, at);
    } else if (!next_tiled(box, at, index)) {
      return;
    }
  }
}

// What lies outside of the tensor: zeros, or a NaN of f16, bf16, f32 and f64 alike.
Bytes filled(const TensorMap& map) {
  Bytes bytes(box_bytes(map), 0);
  const std::uint16_t nan = 0x7ff7;
  for (std::size_t i = 0; map.nan_fill && i < bytes.size(); i += sizeof nan) {
    std::memcpy(bytes.data() + i, &nan, sizeof nan);
  }
  return bytes;
}

Bytes read_global(const Box& box) {
  const TensorMap& map = box.map;
  const std::size_t row_bytes = std::size_t{map.box[0]} * map.element_bytes;
  Bytes bytes = filled(map);
  for_each_row(box, [&](unsigned row, std::int64_t offset, unsigned begin, unsigned end) {
    if (begin >= end) return;
    const std::size_t skip = std::size_t{begin} * map.element_bytes,
                      length = std::size_t{end - begin} * map.element_bytes;
    const char* from = map.base + offset + static_cast<std::ptrdiff_t>(skip);
    std::memcpy(bytes.data() + row * row_bytes + skip, global_at(from, length, 1, kLoad), length);
  });
  return bytes;
}

// Calls write(global address, bytes of the box, how many) for each run of elements in the tensor.
template <class Write>
void for_each_run(const Box& box, const Bytes& bytes, const char* what, Write write) {
  const TensorMap& map = box.map;
  const std::size_t row_bytes = std::size_t{map.box[0]} * map.element_bytes;
  for_each_row(box, [&](unsigned row, std::int64_t offset, unsigned begin, unsigned end) {
    if (begin >= end) return;
    const std::size_t skip = std::size_t{begin} * map.element_bytes,
                      length = std::size_t{end - begin} * map.element_bytes;
    char* to = map.base + offset + static_cast<std::ptrdiff_t>(skip);
    global_at(to, length, 1, what);
    write(to, bytes.data() + row * row_bytes + skip, length);
  });
}

void check_shared(Block& block, std::uint32_t address, const TensorMap& map, const char* what) {
  shared_at(block, address, box_bytes(map), box_alignment(map.swizzle), what);
}

std::vector<Block*> destinations(std::uint16_t multicast) {
  if (multicast == 0) return {me().block};
  std::vector<Block*> blocks;
  for (unsigned rank = 0; rank < 16; ++rank) {
    if ((multicast >> rank & 1) == 0) continue;
    if (rank >= execution.cluster.size) {
      fail("TMA multicast to block %u of a cluster of %u", rank, execution.cluster.size);
    }
    blocks.push_back(execution.cluster.blocks[rank].get());
  }
  return blocks;
}

void load(const Box& box, std::uint32_t to, std::uint32_t barrier, std::uint16_t multicast) {
  const TensorMap& map = box.map;
  auto blocks = destinations(multicast);
  for (Block* block : blocks) check_shared(*block, to, map, kLoad);
  start_load({kLoad, std::move(blocks), to, box_bytes(map), barrier, map.swizzle},
             [box] { return read_global(box); });
}

// Loads may begin anywhere, but the CUDA programming guide forbids it for what is written.
Box written_box(const void* map, std::uint32_t from, unsigned rank, const std::int32_t* coordinates,
                const char* what) {
  const Box box(tensor_map_at(map, rank, false), coordinates);
  for (unsigned i = 0; i < rank; ++i) {
    if (coordinates[i] < 0) {
      fail("%s: coordinate %u is %d; only loads may begin in front of the tensor", what, i,
           coordinates[i]);
    }
  }
  check_shared(*me().block, from, box.map, what);
  return box;
}

}  // namespace

void tma_load(std::uint32_t to, const void* map, std::uint32_t barrier, unsigned rank,
              const std::int32_t* coordinates, std::uint16_t multicast) {
  load({tensor_map_at(map, rank, false), coordinates}, to, barrier, multicast);
}

void tma_load_im2col(std::uint32_t to, const void* map, std::uint32_t barrier, unsigned rank,
                     const std::int32_t* coordinates, const std::uint16_t* offsets,
                     std::uint16_t multicast) {
  Box box(tensor_map_at(map, rank, true), coordinates);
  const unsigned limit = rank == 3 ? 1U << 16 : rank == 4 ? 1U << 8 : 1U << 5;
  for (unsigned i = 1; i + 1 < rank; ++i) {
    const std::int64_t low = box.map.lower[i - 1],
                       high = std::int64_t{box.map.last[i]} + box.map.upper[i - 1];
    if (coordinates[i] < low || coordinates[i] > high) {
      fail("%s: coordinate %u is %d, outside of the bounding box from %lld to %lld", kLoad, i,
           coordinates[i], static_cast<long long>(low), static_cast<long long>(high));
    }
    if (offsets[i - 1] >= limit) {
      fail("%s: an im2col offset of %u; with rank %u below %u", kLoad, offsets[i - 1], rank, limit);
    }
    box.offset[i] = offsets[i - 1];
  }
  load(box, to, barrier, multicast);
}

void tma_store(const void* map, std::uint32_t from, unsigned rank,
               const std::int32_t* coordinates) {
  const Box box = written_box(map, from, rank, coordinates, kStore);
  start_store(kStore, from, box_bytes(box.map), box.map.swizzle, [box](const Bytes& bytes) {
    for_each_run(box, bytes, kStore,
                 [](char* to, const char* run, std::size_t n) { std::memcpy(to, run, n); });
  });
}

void tma_reduce(Reduction operation, const void* map, std::uint32_t from, unsigned rank,
                const std::int32_t* coordinates) {
  const Box box = written_box(map, from, rank, coordinates, kReduce);
  require_reducible(box.map.type, operation);
  start_store(kReduce, from, box_bytes(box.map), box.map.swizzle,
              [box, operation](const Bytes& bytes) {
                for_each_run(box, bytes, kReduce, [&](char* to, const char* run, std::size_t n) {
                  for (std::size_t i = 0; i < n; i += box.map.element_bytes) {
                    reduce_element(box.map.type, operation, to + i, run + i);
                  }
                });
              });
}

}  // namespace emu
