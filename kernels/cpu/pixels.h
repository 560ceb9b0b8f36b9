// How kernels on images walk over pixels and their channels. Not part of the public interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels::cpu {

inline constexpr std::int64_t kChannelBlock = 64;  ///< a task of the backward passes
/// Elements, below which a thread is not worth it.
inline constexpr std::int64_t kMinTaskSize = 1 << 14;

/// Images as a grid of pixels with channels.
template <class T>
struct Pixels {
  T* data;
  std::int64_t image_stride;
  std::int64_t channel_stride;
  std::int64_t row_stride;
  std::int64_t col_stride;

  explicit Pixels(const View& view)
      : data(view.ptr<T>()),
        image_stride(view.strides[0]),
        channel_stride(view.size(1) == 1 ? 1 : view.strides[1]),
        row_stride(view.strides[2]),
        col_stride(view.strides[3]) {}

  T* at(std::int64_t image, std::int64_t row, std::int64_t col) const {
    return data + image * image_stride + row * row_stride + col * col_stride;
  }
};

/// Calls body(image, first channel, end of channels) for every block of channels, in parallel: no
/// two calls touch the same channels of an image.
template <class Body>
void for_each_channel_block(std::int64_t images, std::int64_t channels, std::int64_t pixels,
                            const Body& body) {
  const std::int64_t blocks = (channels + kChannelBlock - 1) / kChannelBlock;
  const std::int64_t grain =
      kMinTaskSize / std::max<std::int64_t>(pixels * std::min(channels, kChannelBlock), 1);
  parallel_for(images * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % blocks * kChannelBlock;
      body(i / blocks, first, std::min(first + kChannelBlock, channels));
    }
  });
}

using DenseStride = std::integral_constant<std::int64_t, 1>;

/// Calls `f` with the channel stride of all operands: the compile-time constant 1 where it is that
/// for every one of them (`dense`), else a type that reads each operand's own.
template <class F>
void with_channel_stride(bool dense, const F& f) {
  if (dense) {
    f([](const auto&) { return DenseStride{}; });
  } else {
    f([](const auto& pixels) { return pixels.channel_stride; });
  }
}

/// Zeroes the pixels' channels `first` to `end` of one image.
template <class T, class Stride>
void zero(const Pixels<T>& dx, const Shape& shape, std::int64_t image, std::int64_t first,
          std::int64_t end, Stride stride) {
  for (std::int64_t h = 0; h < shape[2]; ++h) {
    for (std::int64_t w = 0; w < shape[3]; ++w) {
      T* pixel = dx.at(image, h, w);
      for (std::int64_t c = first; c < end; ++c) pixel[c * stride] = T{0};
    }
  }
}

}  // namespace minidl::kernels::cpu
