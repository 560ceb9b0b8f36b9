#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "minidl/nn/data/images.h"
#include "tests/catch.h"
#include "tests/nn/data/data_files.h"

using namespace minidl;
using namespace minidl::data;
using namespace minidl::test;

namespace {

// Pixel (y, x) of channel c of image i is known.
std::uint8_t pixel(std::int64_t i, std::int64_t c, std::int64_t y, std::int64_t x) {
  return static_cast<std::uint8_t>((i * 53 + c * 101 + y * 16 + x * 3 + 1) % 251 + 1);
}

Images make_images(std::int64_t count, std::int64_t channels, std::int64_t height,
                   std::int64_t width) {
  Images images;
  images.name = "test images";
  images.channels = channels;
  images.height = height;
  images.width = width;
  images.class_names = {"a", "b", "c"};
  for (std::int64_t i = 0; i < count; ++i) {
    images.labels.push_back(static_cast<std::uint8_t>(i % 3));
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        for (std::int64_t c = 0; c < channels; ++c) images.pixels.push_back(pixel(i, c, y, x));
      }
    }
  }
  return images;
}

Normalization bytes_as_they_are(std::size_t channels) {
  return {.mean = std::vector<float>(channels), .std = std::vector<float>(channels, 1.0f / 255)};
}

std::vector<std::int64_t> all_of(const Dataset& set) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(set.size()));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

}  // namespace

TEST_CASE("image batches are NCHW in shape and NHWC in memory", "[data][images]") {
  const ImageDataset set(make_images(5, 3, 4, 6), bytes_as_they_are(3));
  const std::vector<std::int64_t> indices = {4, 0, 4};
  const auto [x, y] = set.batch(indices, {});
  CHECK(x.shape() == Shape{3, 3, 4, 6});
  CHECK(x.strides() == Strides{72, 1, 18, 3});
  CHECK(x.dtype() == f32);
  CHECK(y.dtype() == i64);
  CHECK(y.to_vector() == std::vector<double>{1, 0, 1});
  const auto* data = x.data<float>();
  for (std::int64_t n = 0; n < 3; ++n) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t h = 0; h < 4; ++h) {
        for (std::int64_t w = 0; w < 6; ++w) {
          const float value = data[n * 72 + c + h * 18 + w * 3];
          const auto i = indices[static_cast<std::size_t>(n)];
          if (value != Approx(pixel(i, c, h, w))) CHECK(value == Approx(pixel(i, c, h, w)));
        }
      }
    }
  }
  const Batch none = set.batch({}, {});
  CHECK(none.x.shape() == Shape{0, 3, 4, 6});
  CHECK(none.y.shape() == Shape{0});
}

TEST_CASE("images are normalised by their own statistics or given ones", "[data][images]") {
  const ImageDataset own(make_images(40, 2, 7, 5));
  const Batch batch = own.batch(all_of(own), {});
  const auto* data = batch.x.data<float>();
  const std::int64_t pixels = 40 * 7 * 5;
  for (std::int64_t c = 0; c < 2; ++c) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
      const double value = data[i * 2 + c];
      sum += value;
      squares += value * value;
    }
    CHECK(std::abs(sum / static_cast<double>(pixels)) < 1e-4);
    CHECK(squares / static_cast<double>(pixels) == Approx(1).epsilon(1e-4));
  }

  const ImageDataset given = own.normalized({.mean = {0.5f, 0.25f}, .std = {0.5f, 2}});
  const std::vector<std::int64_t> first = {0};
  const float value = given.batch(first, {}).x.data<float>()[1];
  CHECK(value == Approx((pixel(0, 1, 0, 0) / 255.0 - 0.25) / 2).epsilon(1e-5));

  Images constant = make_images(3, 1, 2, 2);
  std::fill(constant.pixels.begin(), constant.pixels.end(), std::uint8_t{9});
  CHECK(std::abs(ImageDataset(constant).batch(first, {}).x.data<float>()[0]) < 1e-4f);
}

TEST_CASE("impossible images are refused", "[data][images]") {
  const ImageDataset set(make_images(5, 3, 8, 8));
  const std::vector<std::int64_t> outside = {0, 5};
  CHECK_THAT(error_of([&] { set.batch(outside, {}); }), Contains("no sample 5 among 5"));
  CHECK_THAT(error_of([&] { set.label(-1); }), Contains("no sample -1"));
  CHECK_THAT(error_of([&] { set.normalized({.mean = {0}, .std = {1}}); }),
             Contains("do not fit 3 channels"));
  CHECK_THAT(error_of([&] {
               set.normalized({.mean = {0, 0, 0}, .std = {1, 0, 1}});
             }),
             Contains("must be positive"));
  CHECK_THAT(error_of([&] { set.augmented({.padding = 5}); }), Contains("take 0 to 4"));
  CHECK_THAT(error_of([&] { set.augmented({.padding = -1}); }), Contains("take 0 to 4"));
  CHECK_THAT(error_of([&] { set.limit(0); }), Contains("at least 1"));
  Images images = make_images(2, 1, 2, 2);
  images.labels[1] = 3;
  CHECK_THAT(error_of([&] { ImageDataset{images}; }), Contains("image 1 has label 3"));
  images.labels.push_back(0);
  CHECK_THAT(error_of([&] { ImageDataset{images}; }), Contains("3 labels"));
}

TEST_CASE("a limited set is a fixed, varied part of the whole", "[data][images]") {
  const ImageDataset set(make_images(300, 1, 2, 2), bytes_as_they_are(1));
  const ImageDataset part = set.limit(90);
  REQUIRE(part.size() == 90);
  CHECK(set.limit(300).size() == 300);
  CHECK(set.limit(1000).size() == 300);
  const Batch first = part.batch(all_of(part), {});
  const Batch again = set.limit(90).batch(all_of(part), {});
  CHECK(first.x.to_vector() == again.x.to_vector());
  std::vector<int> counts(3);
  for (std::int64_t i = 0; i < 90; ++i) ++counts[static_cast<std::size_t>(part.label(i))];
  for (const int count : counts) CHECK(count >= 15);
  const ImageDataset nested = part.limit(10);
  CHECK(nested.size() == 10);
  // A prefix of the same order: growing the limit only adds images.
  const std::vector<std::int64_t> start = {0, 1, 2, 3};
  CHECK(set.limit(40).batch(start, {}).x.to_vector() == part.batch(start, {}).x.to_vector());
}

TEST_CASE("augmented images are crops of the padded, maybe mirrored image", "[data][images]") {
  constexpr std::int64_t kSide = 8;
  constexpr std::int64_t kPadding = 2;
  constexpr std::int64_t kCount = 2000;
  const ImageDataset set = ImageDataset(make_images(kCount, 3, kSide, kSide), bytes_as_they_are(3))
                               .augmented({.padding = kPadding, .flip = true});
  const BatchContext context{.seed = 7, .epoch = 3};
  const Batch batch = set.batch(all_of(set), context);
  const auto* data = batch.x.data<float>();

  // Whether image i was cropped at (top, left).
  auto shows = [&](std::int64_t i, std::int64_t top, std::int64_t left, bool flip) {
    for (std::int64_t y = 0; y < kSide; ++y) {
      for (std::int64_t x = 0; x < kSide; ++x) {
        const std::int64_t from_y = y + top;
        const std::int64_t from_x = (flip ? kSide - 1 - x : x) + left;
        const bool inside = from_y >= 0 && from_y < kSide && from_x >= 0 && from_x < kSide;
        for (std::int64_t c = 0; c < 3; ++c) {
          const double expected = inside ? pixel(i, c, from_y, from_x) : 0;
          const float value = data[((i * kSide + y) * kSide + x) * 3 + c];
          if (std::abs(value - expected) > 1e-3) return false;
        }
      }
    }
    return true;
  };

  int flipped = 0;
  std::map<std::pair<std::int64_t, std::int64_t>, int> corners;
  for (std::int64_t i = 0; i < kCount; ++i) {
    int found = 0;
    for (std::int64_t top = -kPadding; top <= kPadding; ++top) {
      for (std::int64_t left = -kPadding; left <= kPadding; ++left) {
        for (const bool flip : {false, true}) {
          if (!shows(i, top, left, flip)) continue;
          ++found;
          flipped += flip ? 1 : 0;
          ++corners[{top, left}];
        }
      }
    }
    if (found != 1) CHECK(found == 1);
  }
  CHECK(std::abs(flipped - kCount / 2) < 120);  // over five standard deviations
  CHECK(corners.size() == 25);
  for (const auto& [corner, count] : corners) CHECK(std::abs(count - kCount / 25) < 50);
}

TEST_CASE("augmentation follows seed, epoch and sample, not the batch", "[data][images]") {
  const ImageDataset set =
      ImageDataset(make_images(64, 3, 16, 16)).augmented({.padding = 4, .flip = true});
  const BatchContext context{.seed = 1, .epoch = 2};
  const std::vector<double> whole = set.batch(all_of(set), context).x.to_vector();
  const std::vector<std::int64_t> one = {17};
  const std::vector<double> alone = set.batch(one, context).x.to_vector();
  const auto offset = static_cast<std::ptrdiff_t>(17 * alone.size());
  CHECK(std::equal(alone.begin(), alone.end(), whole.begin() + offset));
  CHECK(whole != set.batch(all_of(set), {.seed = 1, .epoch = 3}).x.to_vector());
  CHECK(whole != set.batch(all_of(set), {.seed = 2, .epoch = 2}).x.to_vector());
}

TEST_CASE("the basic augmentation suits the size", "[data][images]") {
  const auto padding = [](std::int64_t side) {
    return ImageDataset(make_images(1, 1, side, side)).basic_augmentation().padding;
  };
  CHECK(padding(32) == 4);
  CHECK(padding(28) == 2);
  CHECK(padding(8) == 0);
}

TEST_CASE("a TensorDataset hands out rows of any dtype and layout", "[data][images]") {
  const Tensor x = arange(24, {.dtype = f64}).reshape({4, 3, 2});
  const Tensor y = arange(4, {.dtype = u8});
  const TensorDataset set(x, y);
  const std::vector<std::int64_t> indices = {3, 1};
  const auto [rows, labels] = set.batch(indices, {});
  CHECK(rows.shape() == Shape{2, 3, 2});
  CHECK(rows.to_vector() == std::vector<double>{18, 19, 20, 21, 22, 23, 6, 7, 8, 9, 10, 11});
  CHECK(labels.dtype() == u8);
  CHECK(labels.to_vector() == std::vector<double>{3, 1});
  CHECK(set.batch({}, {}).x.shape() == Shape{0, 3, 2});

  const Tensor images = rand({4, 3, 5, 6}).channels_last();
  const Batch picked = TensorDataset(images, y).batch(indices, {});
  CHECK(picked.x.is_channels_last());
  CHECK(picked.x.select(0, 0).to_vector() == images.select(0, 3).to_vector());
  // A set of one image, whose first dimension has any stride.
  const Tensor single = images.select(0, 0).unsqueeze(0);
  const std::vector<std::int64_t> twice = {0, 0};
  const Batch copies = TensorDataset(single, arange(1)).batch(twice, {});
  for (int i : {0, 1}) CHECK(copies.x.select(0, i).to_vector() == single.to_vector());
  const Batch strided = TensorDataset(x.transpose(1, 2), y).batch(indices, {});
  CHECK(strided.x.to_vector() == std::vector<double>{18, 20, 22, 19, 21, 23, 6, 8, 10, 7, 9, 11});

  CHECK_THAT(error_of([&] { TensorDataset(x, arange(5)); }), Contains("same number of samples"));
  const std::vector<std::int64_t> outside = {4};
  CHECK_THAT(error_of([&] { set.batch(outside, {}); }), Contains("no sample 4"));
}
