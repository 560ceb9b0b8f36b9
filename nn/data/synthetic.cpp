#include "minidl/nn/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/common/philox.h"
#include "minidl/nn/data/sampling.h"

namespace minidl::data {
namespace {

enum class Figure {
  disc,
  square,
  triangle,
  ring,
  cross,
  horizontal_stripes,
  vertical_stripes,
  diagonal_stripes,
  chequers,
  dots
};
constexpr std::array kFigureNames = {"disc",
                                     "square",
                                     "triangle",
                                     "ring",
                                     "cross",
                                     "horizontal stripes",
                                     "vertical stripes",
                                     "diagonal stripes",
                                     "chequers",
                                     "dots"};

using Colour = std::array<float, 3>;

float between(PhiloxSequence& random, float low, float high) {
  return low + (high - low) * random.uniform();
}

Colour random_colour(PhiloxSequence& random) {
  return {random.uniform(), random.uniform(), random.uniform()};
}

// Clearly lighter or darker than `other`, so that grey images show it as well.
Colour contrasting_colour(PhiloxSequence& random, const Colour& other) {
  const bool lighter = (other[0] + other[1] + other[2]) / 3 < 0.5f;
  Colour result;
  for (std::size_t c = 0; c < 3; ++c) {
    const float difference = between(random, 0.4f, 0.7f);
    result[c] = std::clamp(other[c] + (lighter ? difference : -difference), 0.0f, 1.0f);
  }
  return result;
}

float square_wave(float position) {
  return position - std::floor(position) < 0.5f ? 1.0f : -1.0f;
}

// Whether the figure covers a point. It sits in -1..1 x -1..1; x goes right and y down. Textures
// are cut out of a square.
bool covers(Figure figure, float x, float y) {
  constexpr float kEdge = 0.9f;
  constexpr float kFrequency = 2.5f / (2 * kEdge);  // three stripes and the two gaps between them
  const float u = (x + kEdge) * kFrequency;
  const float v = (y + kEdge) * kFrequency;
  const bool inside = std::abs(x) < kEdge && std::abs(y) < kEdge;
  switch (figure) {
    case Figure::disc: return x * x + y * y < 0.81f;
    case Figure::square: return std::abs(x) < 0.8f && std::abs(y) < 0.8f;
    case Figure::triangle: return y < 0.7f && std::abs(x) < (y + 0.9f) * 0.6f;
    case Figure::ring: {
      const float squared = x * x + y * y;
      return squared < 0.9f && squared > 0.3f;
    }
    case Figure::cross: return inside && (std::abs(x) < 0.28f || std::abs(y) < 0.28f);
    case Figure::horizontal_stripes: return inside && square_wave(v) > 0;
    case Figure::vertical_stripes: return inside && square_wave(u) > 0;
    case Figure::diagonal_stripes: return inside && square_wave((u + v) * 0.75f) > 0;
    case Figure::chequers: return inside && square_wave(u) * square_wave(v) > 0;
    case Figure::dots: {
      // One in each quarter.
      const float dx = std::abs(x) - kEdge / 2;
      const float dy = std::abs(y) - kEdge / 2;
      return dx * dx + dy * dy < 0.13f;
    }
  }
  return false;
}

// One image in floats, 0 black and 1 white, before it becomes bytes.
class Canvas {
 public:
  Canvas(std::int64_t height, std::int64_t width)
      : height_(height), width_(width), pixels_(static_cast<std::size_t>(height * width)) {}

  Colour& at(std::int64_t y, std::int64_t x) {
    return pixels_[static_cast<std::size_t>(y * width_ + x)];
  }
  const std::vector<Colour>& pixels() const { return pixels_; }

  // From `start` to `end` along a random direction.
  void shade(PhiloxSequence& random, const Colour& start, const Colour& end) {
    const float angle = between(random, 0, 6.2831853f);
    const float across = std::cos(angle) / static_cast<float>(width_);
    const float down = std::sin(angle) / static_cast<float>(height_);
    const float offset = 0.5f - (std::cos(angle) + std::sin(angle)) / 2;
    for (std::int64_t y = 0; y < height_; ++y) {
      for (std::int64_t x = 0; x < width_; ++x) {
        const float raw = offset + across * static_cast<float>(x) + down * static_cast<float>(y);
        const float t = std::clamp(raw, 0.0f, 1.0f);
        Colour& pixel = at(y, x);
        for (std::size_t c = 0; c < 3; ++c) pixel[c] = start[c] + t * (end[c] - start[c]);
      }
    }
  }

  // Small faint rectangles.
  void clutter(PhiloxSequence& random) {
    const std::uint32_t count = 2 + random.below(4);
    for (std::uint32_t i = 0; i < count; ++i) {
      const float opacity = between(random, 0.3f, 0.6f);
      const Colour colour = random_colour(random);
      const Interval rows = random_span(random, height_);
      const Interval columns = random_span(random, width_);
      for (std::int64_t y = rows.begin; y < rows.end; ++y) {
        for (std::int64_t x = columns.begin; x < columns.end; ++x) {
          Colour& pixel = at(y, x);
          for (std::size_t c = 0; c < 3; ++c) pixel[c] += opacity * (colour[c] - pixel[c]);
        }
      }
    }
  }

  // With smooth edges: each pixel counts the covered ones of 2 x 2 points.
  void draw(PhiloxSequence& random, Figure figure, const Colour& colour) {
    const float side = static_cast<float>(std::min(height_, width_));
    const float radius = between(random, 0.28f, 0.42f) * side;
    const float centre_x = between(random, radius, static_cast<float>(width_) - radius);
    const float centre_y = between(random, radius, static_cast<float>(height_) - radius);
    const float tilt = between(random, -0.2f, 0.2f);
    const float cosine = std::cos(tilt) / radius;
    const float sine = std::sin(tilt) / radius;
    for (std::int64_t y = 0; y < height_; ++y) {
      for (std::int64_t x = 0; x < width_; ++x) {
        int covered = 0;
        for (int point = 0; point < 4; ++point) {
          const float dx = static_cast<float>(x) + (point % 2 == 0 ? 0.25f : 0.75f) - centre_x;
          const float dy = static_cast<float>(y) + (point / 2 == 0 ? 0.25f : 0.75f) - centre_y;
          covered += covers(figure, cosine * dx + sine * dy, cosine * dy - sine * dx) ? 1 : 0;
        }
        Colour& pixel = at(y, x);
        const float share = static_cast<float>(covered) * 0.25f;
        for (std::size_t c = 0; c < 3; ++c) pixel[c] += share * (colour[c] - pixel[c]);
      }
    }
  }

 private:
  // A tenth to a quarter of 0..extent, at least one.
  static Interval random_span(PhiloxSequence& random, std::int64_t extent) {
    const float full = static_cast<float>(extent);
    const auto size = static_cast<std::int64_t>(between(random, 0.1f, 0.25f) * full) + 1;
    const auto begin = static_cast<std::int64_t>(random.uniform() * full);
    return {.begin = begin, .end = std::min(extent, begin + size)};
  }

  std::int64_t height_;
  std::int64_t width_;
  std::vector<Colour> pixels_;
};

// Roughly normal, with mean 0 and deviation 1: the sum of two of the word's bytes. A hundred times
// as fast as the real thing.
float cheap_normal(std::uint32_t word) {
  constexpr float kDeviation = 104.5f;
  const auto sum = static_cast<int>((word & 0xff) + ((word >> 8) & 0xff));
  return static_cast<float>(sum - 255) / kDeviation;
}

void write_pixels(const Canvas& canvas, std::int64_t channels, float noise, PhiloxSequence& random,
                  std::uint8_t* out) {
  auto to_byte = [](float value) {
    return static_cast<std::uint8_t>(std::clamp(value * 255 + 0.5f, 0.0f, 255.0f));
  };
  for (const Colour& pixel : canvas.pixels()) {
    const std::uint32_t first = random.next();
    if (channels == 1) {
      const float grey = (pixel[0] + pixel[1] + pixel[2]) / 3;
      *out++ = to_byte(grey + noise * cheap_normal(first));
    } else {
      const std::uint32_t second = random.next();
      *out++ = to_byte(pixel[0] + noise * cheap_normal(first));
      *out++ = to_byte(pixel[1] + noise * cheap_normal(first >> 16));
      *out++ = to_byte(pixel[2] + noise * cheap_normal(second));
    }
  }
}

void check_options(const SyntheticOptions& options) {
  const auto most = static_cast<std::int64_t>(kFigureNames.size());
  check(options.size > 0, "synthetic: {} images are none at all; ask for at least 1", options.size);
  check(options.classes >= 2 && options.classes <= most,
        "synthetic: there are 2 to {} classes, not {}", most, options.classes);
  check(options.channels == 1 || options.channels == 3,
        "synthetic: images have 1 or 3 channels, not {}", options.channels);
  check(options.height >= 16 && options.height <= 1024 && options.width >= 16 &&
            options.width <= 1024,
        "synthetic: images are 16 to 1024 pixels high and wide, not {} x {}", options.height,
        options.width);
  check(options.noise >= 0 && options.noise <= 1, "synthetic: noise goes from 0 to 1, not {}",
        options.noise);
}

Images draw_images(const SyntheticOptions& options) {
  check_options(options);
  Images images;
  images.name = fmt::format("synthetic images ({})", name(options.split));
  images.channels = options.channels;
  images.height = options.height;
  images.width = options.width;
  images.class_names.assign(kFigureNames.begin(), kFigureNames.begin() + options.classes);
  images.mirrored_alike = false;  // a mirrored diagonal runs the other way
  const auto bytes = static_cast<std::size_t>(options.channels * options.height * options.width);
  images.pixels.resize(static_cast<std::size_t>(options.size) * bytes);
  images.labels.resize(static_cast<std::size_t>(options.size));

  const StreamPurpose purpose = options.split == Split::train ? StreamPurpose::synthetic_train
                                                              : StreamPurpose::synthetic_test;
  kernels::parallel_for(options.size, 16, [&](std::int64_t begin, std::int64_t end) {
    Canvas canvas(options.height, options.width);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto image = static_cast<std::size_t>(i);
      const std::int64_t label = i % options.classes;
      images.labels[image] = static_cast<std::uint8_t>(label);
      PhiloxSequence random(options.seed, data_stream(purpose, i));
      const Colour background = random_colour(random);
      Colour shaded = background;
      for (float& component : shaded) {
        component = std::clamp(component + between(random, -0.2f, 0.2f), 0.0f, 1.0f);
      }
      canvas.shade(random, background, shaded);
      canvas.clutter(random);
      canvas.draw(random, static_cast<Figure>(label), contrasting_colour(random, background));
      write_pixels(canvas, options.channels, static_cast<float>(options.noise), random,
                   images.pixels.data() + image * bytes);
    }
  });
  return images;
}

// Measured once, and the same for both splits.
Normalization normalization_for(std::int64_t channels) {
  const auto count = static_cast<std::size_t>(channels);
  return {.mean = std::vector<float>(count, 0.5f), .std = std::vector<float>(count, 0.3f)};
}

}  // namespace

Synthetic::Synthetic(const SyntheticOptions& options)
    : ImageDataset(draw_images(options), normalization_for(options.channels)) {}

}  // namespace minidl::data
