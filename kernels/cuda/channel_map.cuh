// Elementwise functions of [N, C, …] operands whose coefficients belong to the channel. Not part of
// the public interface.
//
//     struct Map {
//       using Element = float;
//       static constexpr int kInputs;
//       using Channel;                                    // the coefficients
//       Element* out;
//       const Element* inputs[kInputs];
//       Channel channel(int64 c) const;                   // computes them
//       Element operator()(values, const Channel&) const;
//     };
//
// Where channels are the innermost dimension (NHWC) a thread keeps the coefficients of 16 bytes'
// worth of them in registers and walks down the rows (a row is a sample's pixel). Otherwise it
// stays at 16 bytes' worth of rows and walks through the channels, whose coefficients all threads
// of a warp share. Without alignment it is single elements in place of 16 bytes.
#pragma once

#include <algorithm>
#include <array>

#include "minidl/kernels/cuda/reduction.cuh"

namespace minidl::kernels::cuda {

inline constexpr int kMapThreads = 256;

/// `side` numbers the elements that neighbouring threads take (channels, or rows), `down` those of
/// the other kind, through which a thread walks. Operands: out, the inputs.
template <int N>
struct MapWork {
  DeviceNest<N, FoldIndex> rows;
  std::int64_t channel_strides[N];
  FoldIndex side, down;
  FoldIndex tiles;  ///< blocks along `side`
  FoldIndex chunk;  ///< of `down`, for a block
  FoldIndex chunks;
  int width;  ///< threads of a block along `side`
};

template <bool kByChannels, bool kVectorized, class Map>
__global__ void __launch_bounds__(kMapThreads, kFoldResident)
    map_kernel(const __grid_constant__ Map map,
               const __grid_constant__ MapWork<Map::kInputs + 1> work) {
  using T = typename Map::Element;
  constexpr int kGroup = kVectorized ? kVector<T> : 1;
  constexpr int kInputs = Map::kInputs;
  constexpr int N = kInputs + 1;
  const auto width = static_cast<FoldIndex>(work.width);
  std::int64_t steps[N];  // along a group
#pragma unroll
  for (int n = 0; n < N; ++n) {
    steps[n] = kByChannels ? work.channel_strides[n] : work.rows.strides[n][0];
  }
  for (FoldIndex task = blockIdx.x; task < work.tiles * work.chunks; task += gridDim.x) {
    const FoldIndex chunk = task / work.tiles;
    const FoldIndex tile = task - chunk * work.tiles;
    const FoldIndex side = (tile * width + threadIdx.x % width) * FoldIndex{kGroup};
    if (side >= work.side) continue;
    typename Map::Channel channels[kGroup];
    std::int64_t side_at[N];
    if constexpr (kByChannels) {
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        channels[k] = map.channel(static_cast<std::int64_t>(side) + k);
      }
    } else {
      work.rows.locate(side, side_at);
    }
    const FoldIndex begin = chunk * work.chunk;
    const FoldIndex end = work.down - begin < work.chunk ? work.down : begin + work.chunk;
    for (FoldIndex down = begin + threadIdx.x / width; down < end; down += kMapThreads / width) {
      std::int64_t at[N];
      const auto channel = static_cast<std::int64_t>(kByChannels ? side : down);
      if constexpr (kByChannels) {
        work.rows.locate(down, at);
      } else {
        channels[0] = map.channel(channel);
      }
#pragma unroll
      for (int n = 0; n < N; ++n) {
        at[n] = (kByChannels ? at[n] : side_at[n]) + channel * work.channel_strides[n];
      }
      T values[kGroup][kInputs];
      load_group<kVectorized>(map.inputs, at + 1, steps + 1, kGroup, values);
      T results[kGroup];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) results[k] = map(values[k], channels[kByChannels ? k : 0]);
      if constexpr (kVectorized) {
        store_vector(results, map.out + at[0]);
      } else {
        map.out[at[0]] = results[0];
      }
    }
  }
}

inline Dims without_channels(Dims dims) {
  dims.erase(1);
  return dims;
}

inline std::int64_t channel_stride(const View& view) {
  return view.size(1) == 1 ? 1 : view.strides[1];
}

template <std::size_t N>
std::array<Strides, N> row_strides(const std::array<const View*, N>& operands) {
  std::array<Strides, N> strides;
  for (std::size_t n = 0; n < N; ++n) strides[n] = without_channels(operands[n]->strides);
  return strides;
}

/// Queues the map of operands {out, inputs...}, which are not empty.
template <class Map>
void apply_map(const ExecContext& ctx, const char* name, const Map& map,
               const std::array<const View*, Map::kInputs + 1>& operands) {
  constexpr int N = Map::kInputs + 1;
  constexpr std::int64_t kGroup = kVector<typename Map::Element>;
  const Shape& shape = operands[0]->shape;
  const LoopNest<N> rows(without_channels(shape), row_strides(operands));
  std::array<Strides, N> channel_steps;
  std::array<const void*, N> data;
  for (std::size_t n = 0; n < N; ++n) {
    channel_steps[n] = {channel_stride(*operands[n])};
    data[n] = operands[n]->data;
  }
  const LoopNest<N> channels({shape[1]}, channel_steps);
  const bool by_channels = shape[1] > 1 && channels.inner_stride(0) < rows.inner_stride(0);
  const LoopNest<N>& inner = by_channels ? channels : rows;
  const bool vectorized = inner.inner_extent() % kGroup == 0 &&
                          groups_are_aligned(data, kGroup, inner, by_channels ? rows : channels);

  const std::int64_t row_count = numel(rows.extents);
  const std::int64_t side = by_channels ? shape[1] : row_count;
  const std::int64_t down = by_channels ? row_count : shape[1];
  const std::int64_t groups = vectorized ? side / kGroup : side;
  const int width = power_of_two_up_to(groups, kMapThreads);
  const std::int64_t tiles = ceil_div(groups, width);
  constexpr std::int64_t kLeastSteps = 8;  // of a thread: what it prepares is worth it
  const std::int64_t most = ceil_div(2 * kFoldBlocks, tiles);
  const std::int64_t chunk =
      ceil_div(down, std::min(ceil_div(down, kMapThreads / width * kLeastSteps), most));
  MapWork<N> work{.rows = DeviceNest<N, FoldIndex>(rows),
                  .channel_strides = {},
                  .side = static_cast<FoldIndex>(side),
                  .down = static_cast<FoldIndex>(down),
                  .tiles = static_cast<FoldIndex>(tiles),
                  .chunk = static_cast<FoldIndex>(chunk),
                  .chunks = static_cast<FoldIndex>(ceil_div(down, chunk)),
                  .width = width};
  for (std::size_t n = 0; n < N; ++n) work.channel_strides[n] = channel_steps[n][0];
  const auto kernel =
      by_channels ? (vectorized ? map_kernel<true, true, Map> : map_kernel<true, false, Map>)
                  : (vectorized ? map_kernel<false, true, Map> : map_kernel<false, false, Map>);
  launch(linear_launch(ctx, name, tiles * ceil_div(down, chunk), kMapThreads), kernel, map, work);
}

}  // namespace minidl::kernels::cuda
