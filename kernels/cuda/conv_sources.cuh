// Where the tiles of conv.cu find their operands, in the terms of gemm/simt_tile.cuh: each source
// fetches four elements at one k, and counts its way to another k. Not part of the public
// interface.
#pragma once

#include <cstdint>

#include <climits>

#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::kernels::cuda::conv {

/// Images, or weights: then `image` is the channel of y.
template <class T>
struct Tensor4 {
  T* data;
  std::int64_t image, channel, row, column;  ///< strides
};

/// Height or width of everything.
struct Dimension {
  int x, y, kernel, stride, padding, dilation;
  int residues;    ///< of positions of x modulo stride: see backward_axis
  int tap_period;  ///< stride / gcd(stride, dilation)
};

struct Pixel {
  int image, row, column;
};

/// Pixel number `index` of images of that size.
__device__ inline Pixel pixel_at(std::int64_t index, int rows, int columns) {
  const std::int64_t line = index / columns;
  return {static_cast<int>(line / rows), static_cast<int>(line % rows),
          static_cast<int>(index % columns)};
}

/// The pixel that comes `count` later; without 64-bit divisions.
__device__ inline Pixel later(const Pixel& pixel, int count, int rows, int columns) {
  const int column = pixel.column + count, row = pixel.row + column / columns;
  return {pixel.image + row / rows, row % rows, column % columns};
}

/// How many of mn, mn + 16, mn + 32, mn + 48 are below `size`.
__device__ inline int how_many(int mn, int size) {
  return min(max((size - mn + 15) / 16, 0), 4);
}

/// Walks along k through taps and channels, and through a tensor that has them. From one tap to the
/// next, a direction moves by `step` positions.
struct TapWalk {
  int channels, taps_per_row;
  int row_step, column_step;
  std::int64_t to_channel, to_column,
      to_row;  // what `offset` grows by; to_row: on top of to_column
  int channel = 0, tap = 0;
  int row = 0, column = 0;  // how far this tap has moved
  std::int64_t offset = 0;

  template <class T>
  __device__ TapWalk(const Tensor4<T>& tensor, std::int64_t channel_stride, int all_channels,
                     int taps_of_row, int step_of_row, int step_of_column)
      : channels(all_channels),
        taps_per_row(taps_of_row),
        row_step(step_of_row),
        column_step(step_of_column),
        to_channel(channel_stride),
        to_column(step_of_column * tensor.column - all_channels * channel_stride),
        to_row(step_of_row * tensor.row - taps_of_row * step_of_column * tensor.column) {}

  __device__ void advance(int by) {
    channel += by;
    offset += by * to_channel;
    while (channel >= channels) {
      channel -= channels;
      offset += to_column;
      column += column_step;
      if (++tap == taps_per_row) {
        tap = 0;
        offset += to_row;
        column = 0;
        row += row_step;
      }
    }
  }
};

/// Four pixels along mn; k: taps and channels of what lies under them.
template <class T>
struct PatchSource {
  Tensor4<const T> tensor;
  int rows, columns;  // its size
  TapWalk walk;
  int row[4], column[4];
  std::int64_t base[4];

  /// `first`: the channel at k = 0.
  __device__ PatchSource(const Tensor4<const T>& image, std::int64_t first, int image_rows,
                         int image_columns, const TapWalk& taps)
      : tensor(image), rows(image_rows), columns(image_columns), walk(taps) {
    tensor.data += first * tensor.channel;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      row[j] = column[j] = INT_MIN / 2;  // nowhere
      base[j] = 0;
    }
  }
  /// The j-th of the four: where it is at the first tap.
  __device__ void place(int j, int image, int at_row, int at_column) {
    row[j] = at_row;
    column[j] = at_column;
    base[j] = image * tensor.image + at_row * tensor.row + at_column * tensor.column;
  }

  __device__ T fetch(int j) const {
    const auto r = static_cast<unsigned>(row[j] + walk.row);
    const auto c = static_cast<unsigned>(column[j] + walk.column);
    const bool inside = r < static_cast<unsigned>(rows) && c < static_cast<unsigned>(columns);
    return inside ? tensor.data[base[j] + walk.offset] : T{0};
  }
  __device__ void advance(int by) {
    walk.advance(by);
  }
};

/// Four channels of the result along mn; k: taps and channels of the source.
template <class T>
struct WeightSource {
  const T* at;  // the first of the four, at the first tap
  std::int64_t step;
  int inside;
  TapWalk walk;

  __device__ T fetch(int j) const { return j < inside ? at[j * step + walk.offset] : T{0}; }
  __device__ void advance(int by) { walk.advance(by); }
};

/// Walks along k through the pixels of y, row by row.
struct PixelWalk {
  Pixel pixel;
  int rows, columns;

  __device__ void advance(int by) {
    pixel.column += by;
    while (pixel.column >= columns) {
      pixel.column -= columns;
      if (++pixel.row == rows) {
        pixel.row = 0;
        ++pixel.image;
      }
    }
  }
};

/// Four channels of dy along mn; k: its pixels.
template <class T>
struct GradientSource {
  Tensor4<const T> dy;  // from the first of the four channels on
  int inside;
  PixelWalk walk;
  std::int64_t offset = 0;

  __device__ T fetch(int j) const {
    return j < inside ? dy.data[16 * j * dy.channel + offset] : T{0};
  }
  __device__ void advance(int by) {
    walk.advance(by);
    offset = walk.pixel.image * dy.image + walk.pixel.row * dy.row + walk.pixel.column * dy.column;
  }
};

/// Four pairs of tap and channel along mn; k: the pixels of y, of which x is taken under that tap.
template <class T>
struct TapSource {
  Tensor4<const T> x;
  Dimension rows, columns;
  PixelWalk walk;
  int row[4], column[4];
  std::int64_t base[4];
  int at_row = 0, at_column = 0;
  std::int64_t offset = 0;

  /// `n`: tap and channel, the channel innermost, of the first of the four.
  __device__ TapSource(const Tensor4<const T>& images, const Dimension& height,
                       const Dimension& width, int channels, int n, const PixelWalk& pixels)
      : x(images), rows(height), columns(width), walk(pixels) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int tap = (n + 16 * j) / channels, channel = (n + 16 * j) % channels;
      const bool inside = tap < rows.kernel * columns.kernel;
      row[j] = inside ? tap / columns.kernel * rows.dilation - rows.padding : INT_MIN / 2;
      column[j] = tap % columns.kernel * columns.dilation - columns.padding;
      base[j] = row[j] * x.row + column[j] * x.column + channel * x.channel;
    }
  }

  __device__ T fetch(int j) const {
    const auto r = static_cast<unsigned>(row[j] + at_row);
    const auto c = static_cast<unsigned>(column[j] + at_column);
    const bool inside = r < static_cast<unsigned>(rows.x) && c < static_cast<unsigned>(columns.x);
    return inside ? x.data[base[j] + offset] : T{0};
  }
  __device__ void advance(int by) {
    walk.advance(by);
    at_row = walk.pixel.row * rows.stride;
    at_column = walk.pixel.column * columns.stride;
    offset = walk.pixel.image * x.image + at_row * x.row + at_column * x.column;
  }
};

}  // namespace minidl::kernels::cuda::conv
