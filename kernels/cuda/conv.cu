// Convolutions and their gradients in f32 and f64, as matrix products whose operands are fetched
// where the convolution has them ("implicit GEMM"): the core is gemm/simt_tile.cuh, and nothing is
// copied or gathered beforehand, whatever the strides.
//
//                     m (rows)            n (columns)          k (summed over)
//   forward           pixels of y         channels of y        taps, channels of x
//   backward, input   pixels of dx        channels of x        taps, channels of dy
//   backward, weight  channels of y       taps, channels of x  pixels of dy
//
// k has the channel (the column of the pixel) innermost, and threads walk it by counting, without
// divisions. Lanes that fetch together are neighbours along channels, which is what lies dense in
// NHWC and OHWI.
//
// Backward, input: with strides, a pixel of dx meets only those taps that hit a pixel of dy. Pixels
// are sorted into classes by their position modulo the stride; within a class it is the same taps
// for all, and the arithmetic is that of a convolution without strides. One tile has one class.
//
// Backward, weight: m and n are few and k is long, so k is cut into chunks, each summed by blocks
// of its own; a second kernel adds them up in order. The shape alone decides how many there are.
//
// Bytes and flops are those of gemm/simt.cu; x is fetched once for each tap and 64 channels of y,
// mostly from L1 and L2. Groups are separate products: with few channels each, tiles are mostly
// empty. Small images fill few tiles: a 2 x 2 image of 512 channels gives 8 blocks.
//
// 1: not measured yet.

#include <algorithm>
#include <numeric>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/conv.h"
#include "minidl/kernels/conv_check.h"
#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/conv_sources.cuh"
#include "minidl/kernels/cuda/gemm/simt_tile.cuh"

namespace minidl::kernels::cuda {
namespace {

using namespace conv;
using namespace simt;

/// One direction of a pass that computes pixels, for one class of them: the i-th is position
/// first + i * every of the result and reads source positions origin + i * step + t * tap_step for
/// t = 0..taps-1, with kernel positions first_tap + t * tap_every.
struct Axis {
  int first, every, count;
  int origin, step;
  int taps, tap_step;
  int first_tap, tap_every;
};

__device__ Axis forward_axis(const Dimension& d) {
  return {0, 1, d.y, -d.padding, d.stride, d.kernel, d.dilation, 0, 1};
}

/// Position h of dx meets position p of dy through tap r if h + padding = p * stride + r *
/// dilation: for all h of one residue modulo stride that is every tap_period-th r, from some first
/// one on.
__device__ Axis backward_axis(const Dimension& d, int residue) {
  const auto rest = [&](int tap) { return residue + d.padding - tap * d.dilation; };
  int tap = 0;
  while (tap < d.tap_period && rest(tap) % d.stride != 0) ++tap;
  const int taps =
      tap < d.tap_period ? max(d.kernel - tap + d.tap_period - 1, 0) / d.tap_period : 0;
  return {residue,     d.stride, (d.x - residue + d.stride - 1) / d.stride, rest(tap) / d.stride,
          1,           taps,     -(d.dilation * d.tap_period / d.stride),   tap,
          d.tap_period};
}

/// Of a pass that computes pixels: `out` from `source`. Channels are those of one group.
template <class T>
struct PixelPass {
  Dimension height, width;
  int images, groups, channels, source_channels, y_channels;
  Tensor4<const T> source, weight;
  const T* bias;
  std::int64_t bias_stride;
  T* out;  // dense NHWC
  int channel_tiles;
  bool aligned;
};

template <class T, bool Backward>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor<T>)
    conv_pixels_kernel(const PixelPass<T> p) {
  constexpr bool kKDenseWeight = !Backward;  // OHWI: the channel of x is dense
  const SumPlace place;
  const std::int64_t m0 = std::int64_t{static_cast<int>(blockIdx.x) / p.channel_tiles} * kTile;
  const int n0 = static_cast<int>(blockIdx.x) % p.channel_tiles * kTile;
  const int classes = Backward ? p.height.residues * p.width.residues : 1;
  const int out_height = Backward ? p.height.x : p.height.y;
  const int out_width = Backward ? p.width.x : p.width.y;
  for (int i = static_cast<int>(blockIdx.y); i < p.groups * classes;
       i += static_cast<int>(gridDim.y)) {
    const int group = i / classes, residue = i % classes;
    const Axis rows =
        Backward ? backward_axis(p.height, residue / p.width.residues) : forward_axis(p.height);
    const Axis columns =
        Backward ? backward_axis(p.width, residue % p.width.residues) : forward_axis(p.width);
    const std::int64_t pixels = std::int64_t{p.images} * rows.count * columns.count;
    if (m0 >= pixels) continue;  // for all threads alike
    const int pixels_left = static_cast<int>(min(pixels - m0, std::int64_t{kTile}));
    const Pixel tile = pixel_at(m0, rows.count, columns.count);

    PatchSource<T> patches(p.source, std::int64_t{group} * p.source_channels,
                           Backward ? p.height.y : p.height.x, Backward ? p.width.y : p.width.x,
                           TapWalk(p.source, p.source.channel, p.source_channels, columns.taps,
                                   rows.tap_step, columns.tap_step));
    const int mn = FetchPlace<true>{}.mn;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (mn + 16 * j >= pixels_left) continue;
      const Pixel pixel = later(tile, mn + 16 * j, rows.count, columns.count);
      patches.place(j, pixel.image, rows.origin + pixel.row * rows.step,
                    columns.origin + pixel.column * columns.step);
    }
    // Of the weights, the channel of y is split into groups, whichever of m and k that is.
    const std::int64_t n_stride = Backward ? p.weight.channel : p.weight.image;
    const std::int64_t k_stride = Backward ? p.weight.image : p.weight.channel;
    const int n = n0 + FetchPlace<kKDenseWeight>{}.mn;
    const WeightSource<T> weights{
        p.weight.data + std::int64_t{group} * p.y_channels * p.weight.image + n * n_stride +
            rows.first_tap * p.weight.row + columns.first_tap * p.weight.column,
        16 * n_stride, how_many(n, p.channels),
        TapWalk(p.weight, k_stride, p.source_channels, columns.taps, rows.tap_every,
                columns.tap_every)};

    const int column = n0 + place.column;
    const bool wanted = place.row < pixels_left && column < p.channels;
    TileSums<T> sums;
    add_products<T, true, kKDenseWeight>(
        patches, weights, std::int64_t{rows.taps} * columns.taps * p.source_channels, wanted, sums);
    if (!wanted) continue;
    const int channel = group * p.channels + column;
    Quad<T> bias{};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (p.bias != nullptr && column + j < p.channels) {
        bias.v[j] = p.bias[(channel + j) * p.bias_stride];
      }
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (place.row + r >= pixels_left) continue;
      const Pixel pixel = later(tile, place.row + r, rows.count, columns.count);
      const std::int64_t line =
          std::int64_t{pixel.image} * out_height + rows.first + pixel.row * rows.every;
      const std::int64_t position = line * out_width + columns.first + pixel.column * columns.every;
#pragma unroll
      for (int j = 0; j < 4; ++j) sums.rows[r].v[j] += bias.v[j];
      store_quad(p.out + position * p.groups * p.channels + channel, sums.rows[r],
                 p.channels - column, p.aligned);
    }
  }
}

/// Of the pass that computes weights. Channels are those of one group.
template <class T>
struct WeightPass {
  Dimension height, width;
  int groups, y_channels, x_channels;
  Tensor4<const T> dy, x;
  T* out;  // dense OHWI, one after the other for each chunk
  std::int64_t pixels, chunk;
  int chunks, column_tiles;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor<T>)
    conv_weights_kernel(const WeightPass<T> p) {
  const SumPlace place;
  const int m0 = static_cast<int>(blockIdx.x) / p.column_tiles * kTile;
  const int n0 = static_cast<int>(blockIdx.x) % p.column_tiles * kTile;
  const int columns = p.height.kernel * p.width.kernel * p.x_channels;
  const int row = m0 + place.row, column = n0 + place.column;
  const bool wanted = row < p.y_channels && column < columns;
  for (int i = static_cast<int>(blockIdx.y); i < p.chunks * p.groups;
       i += static_cast<int>(gridDim.y)) {
    const int chunk = i / p.groups, group = i % p.groups;
    const std::int64_t first = chunk * p.chunk;
    const PixelWalk walk{pixel_at(first, p.height.y, p.width.y), p.height.y, p.width.y};
    const int mn = FetchPlace<false>{}.mn;
    const std::int64_t channel = std::int64_t{group} * p.y_channels + m0 + mn;
    const GradientSource<T> gradients{
        {p.dy.data + channel * p.dy.channel, p.dy.image, p.dy.channel, p.dy.row, p.dy.column},
        how_many(m0 + mn, p.y_channels),
        walk};
    Tensor4<const T> x = p.x;
    x.data += std::int64_t{group} * p.x_channels * x.channel;
    const TapSource<T> taps(x, p.height, p.width, p.x_channels, n0 + mn, walk);
    TileSums<T> sums;
    add_products<T, false, false>(gradients, taps, min(p.pixels - first, p.chunk), wanted, sums);
    if (!wanted) continue;
    T* out = p.out + (std::int64_t{chunk} * p.groups + group) * p.y_channels * columns + column;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (row + r >= p.y_channels) continue;
      store_quad(out + std::int64_t{row + r} * columns, sums.rows[r], columns - column, p.aligned);
    }
  }
}

/// out = the sum of the chunks, first to last.
template <class T>
__global__ void __launch_bounds__(kThreads)
    conv_sum_chunks_kernel(const T* parts, int chunks, std::int64_t size, T* out) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < size; i += stride) {
    T sum = parts[i];
    for (int chunk = 1; chunk < chunks; ++chunk) sum += parts[chunk * size + i];
    out[i] = sum;
  }
}

template <class T>
Tensor4<const T> tensor4(const View& view) {
  return {view.ptr<T>(), view.strides[0], view.strides[1], view.strides[2], view.strides[3]};
}

/// Kernels count in 32 bits, with room for sums of a few.
int count(std::int64_t value) {
  constexpr std::int64_t kMost = 1 << 28;
  check(value <= kMost, "conv2d: sizes and parameters must not exceed {} on CUDA, got {}", kMost,
        value);
  return static_cast<int>(value);
}

Dimension dimension(const Conv2dParams& params, int dim, const Shape& x, const Shape& weight,
                    const Shape& y) {
  const auto d = static_cast<std::size_t>(dim);
  const int stride = count(params.stride[d]), dilation = count(params.dilation[d]);
  const int size = count(x[2 + dim]);
  return {size,
          count(y[2 + dim]),
          count(weight[2 + dim]),
          stride,
          count(params.padding[d]),
          dilation,
          std::min(stride, size),
          stride / std::gcd(stride, dilation)};
}

int tiles_of(std::int64_t size) {
  return static_cast<int>(ceil_div(size, kTile));
}

LaunchConfig tile_launch(const ExecContext& ctx, const char* name, std::int64_t tiles,
                         std::int64_t products) {
  check(std::max(tiles, products) <= kMostBlocksX, "{}: {} tiles of {} products, there may be {}",
        name, tiles, products, kMostBlocksX);
  return {.name = name,
          .grid = dim3(static_cast<unsigned>(tiles),
                       static_cast<unsigned>(std::min(products, kMostBlocksY))),
          .block = dim3(kThreads),
          .stream = stream_of(ctx)};
}

/// `x` and `y` give the sizes; one of them is the result.
template <class T, bool Backward>
void run_pixels(const ExecContext& ctx, const Conv2dParams& params, const View& x,
                const View& weight, const View& bias, const View& y) {
  const View &out = Backward ? x : y, &source = Backward ? y : x;
  const Dimension height = dimension(params, 0, x.shape, weight.shape, y.shape);
  const Dimension width = dimension(params, 1, x.shape, weight.shape, y.shape);
  const std::int64_t channels = out.size(1) / params.groups;
  const PixelPass<T> pass{height,
                          width,
                          count(out.size(0)),
                          count(params.groups),
                          count(channels),
                          count(source.size(1) / params.groups),
                          count(y.size(1) / params.groups),
                          tensor4<T>(source),
                          tensor4<T>(weight),
                          bias.defined ? bias.ptr<T>() : nullptr,
                          bias.defined ? bias.strides[0] : 0,
                          out.ptr<T>(),
                          tiles_of(channels),
                          has_aligned_rows(out.ptr<T>(), channels)};
  const std::int64_t rows = Backward ? ceil_div(height.x, height.stride) : height.y;
  const std::int64_t columns = Backward ? ceil_div(width.x, width.stride) : width.y;
  const std::int64_t classes = Backward ? std::int64_t{height.residues} * width.residues : 1;
  launch(tile_launch(ctx, Backward ? "conv2d_backward_input" : "conv2d_forward",
                     ceil_div(out.size(0) * rows * columns, kTile) * pass.channel_tiles,
                     params.groups * classes),
         conv_pixels_kernel<T, Backward>, pass);
}

template <class T>
void run_weights(const ExecContext& ctx, const Conv2dParams& params, const View& dy, const View& x,
                 const View& dweight) {
  constexpr std::int64_t kBlocks = 512;      // several for each multiprocessor there may be
  constexpr std::int64_t kLeastChunk = 256;  // pixels: what a tile should have to sum
  const std::int64_t y_channels = dy.size(1) / params.groups;
  const std::int64_t columns = count(dweight.numel() / dweight.size(0));
  const std::int64_t pixels = dy.size(0) * dy.size(2) * dy.size(3);
  const std::int64_t tiles = std::int64_t{tiles_of(y_channels)} * tiles_of(columns);
  const std::int64_t wanted = std::clamp<std::int64_t>(
      kBlocks / (tiles * params.groups), 1, std::max<std::int64_t>(pixels / kLeastChunk, 1));
  const std::int64_t chunk =
      std::max<std::int64_t>(ceil_div(ceil_div(pixels, wanted), kSlice), 1) * kSlice;
  const std::int64_t chunks = std::max<std::int64_t>(ceil_div(pixels, chunk), 1);
  Buffer parts;
  if (chunks > 1) {
    parts = ctx.workspace(static_cast<std::size_t>(chunks * dweight.numel()) * sizeof(T));
  }
  T* to = chunks > 1 ? parts.as<T>() : dweight.ptr<T>();
  launch(tile_launch(ctx, "conv2d_backward_weight", tiles, chunks * params.groups),
         conv_weights_kernel<T>,
         WeightPass<T>{dimension(params, 0, x.shape, dweight.shape, dy.shape),
                       dimension(params, 1, x.shape, dweight.shape, dy.shape), count(params.groups),
                       count(y_channels), count(dweight.size(1)), tensor4<T>(dy), tensor4<T>(x), to,
                       pixels, chunk, static_cast<int>(chunks), tiles_of(columns),
                       has_aligned_rows(to, columns)});
  if (chunks == 1) return;
  launch(linear_launch(ctx, "conv2d_sum_chunks", ceil_div(dweight.numel(), kThreads), kThreads),
         conv_sum_chunks_kernel<T>, to, static_cast<int>(chunks), dweight.numel(),
         dweight.ptr<T>());
}

}  // namespace

void conv2d_forward(ExecContext& ctx, const Conv2dParams& params, const View& x, const View& weight,
                    const View& bias, const View& y) {
  check_conv2d_forward(params, x, weight, bias, y);
  if (y.numel() == 0) return;
  const auto run = y.dtype == f32 ? run_pixels<float, false> : run_pixels<double, false>;
  run(ctx, params, x, weight, bias, y);
}

void conv2d_backward_input(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                           const View& weight, const View& dx) {
  check_conv2d_backward_input(params, dy, weight, dx);
  if (dx.numel() == 0) return;
  const auto run = dx.dtype == f32 ? run_pixels<float, true> : run_pixels<double, true>;
  run(ctx, params, dx, weight, View{}, dy);
}

void conv2d_backward_weight(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                            const View& x, const View& dweight) {
  check_conv2d_backward_weight(params, dy, x, dweight);
  if (dweight.numel() == 0) return;
  const auto run = x.dtype == f32 ? run_weights<float> : run_weights<double>;
  run(ctx, params, dy, x, dweight);
}

}  // namespace minidl::kernels::cuda
