// Images drawn by the program: something to learn where no dataset is at hand.
#pragma once

#include <cstdint>

#include "minidl/nn/data/images.h"

namespace minidl::data {

/// What Synthetic draws.
struct SyntheticOptions {
  std::int64_t size = 5000;
  std::uint64_t seed = 0;
  Split split = Split::train;  ///< the two never share an image
  std::int64_t classes = 10;   ///< the first so many of ten figures, 2 to 10
  std::int64_t height = 32;
  std::int64_t width = 32;
  std::int64_t channels = 3;  ///< 1 (grey) or 3
  double noise = 0.06;        ///< standard deviation, where white is 1
};

/// Figures (disc, square, triangle, ring, cross, three kinds of stripes, chequers, dots) of random
/// place, size, tilt and colour, on a shaded background with clutter and noise. Image i is of class
/// i modulo `classes` and depends on seed, split and i only: a larger set starts with the smaller
/// one.
class Synthetic : public ImageDataset {
 public:
  explicit Synthetic(const SyntheticOptions& options = {});
};

}  // namespace minidl::data
