#include "minidl/nn/data/images.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/philox.h"
#include "minidl/nn/data/sampling.h"

namespace minidl::data {
namespace {

void check_images(const Images& images) {
  check(images.channels > 0 && images.height > 0 && images.width > 0,
        "{}: images of {} channels, {} x {} pixels are empty", images.name, images.channels,
        images.height, images.width);
  const std::size_t classes = images.class_names.size();
  check(classes >= 1 && classes <= 256, "{}: {} classes; 1 to 256 can be told apart", images.name,
        classes);
  const auto pixels = static_cast<std::size_t>(images.channels * images.height * images.width);
  check(images.pixels.size() == images.labels.size() * pixels,
        "{}: {} labels need {} bytes of pixels each, but there are {} bytes", images.name,
        images.labels.size(), pixels, images.pixels.size());
  for (std::size_t i = 0; i < images.labels.size(); ++i) {
    check(images.labels[i] < classes, "{}: image {} has label {}, but there are {} classes",
          images.name, i, images.labels[i], classes);
  }
}

Normalization measure(const Images& images) {
  const auto channels = static_cast<std::size_t>(images.channels);
  std::vector<std::uint64_t> sum(channels);
  std::vector<std::uint64_t> squares(channels);
  for (std::size_t i = 0; i < images.pixels.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::uint64_t value = images.pixels[i + c];
      sum[c] += value;
      squares[c] += value * value;
    }
  }
  const std::size_t pixels = images.pixels.size() / channels;
  const double count = std::max(1.0, static_cast<double>(pixels));
  Normalization result;
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    // A constant channel has no deviation to divide by: take one grey level.
    const double deviation = std::max(1.0, std::sqrt(std::max(0.0, variance)));
    result.mean.push_back(static_cast<float>(mean / 255));
    result.std.push_back(static_cast<float>(deviation / 255));
  }
  return result;
}

// 0..bound-1; a bias below bound / 2^32 does not matter here.
std::int64_t below(std::uint32_t word, std::int64_t bound) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(bound)) >> 32);
}

}  // namespace

const char* name(Split split) {
  return split == Split::train ? "train" : "test";
}

ImageDataset::ImageDataset(Images images) {
  check_images(images);
  images_ = std::make_shared<const Images>(std::move(images));
  set_normalization(measure(*images_));
}

ImageDataset::ImageDataset(Images images, const Normalization& normalization) {
  check_images(images);
  images_ = std::make_shared<const Images>(std::move(images));
  set_normalization(normalization);
}

void ImageDataset::set_normalization(const Normalization& normalization) {
  const auto count = static_cast<std::size_t>(channels());
  check(normalization.mean.size() == count && normalization.std.size() == count,
        "{}: {} means and {} deviations do not fit {} channels", name(), normalization.mean.size(),
        normalization.std.size(), count);
  for (const float deviation : normalization.std) {
    check(deviation > 0, "{}: a standard deviation of {} cannot normalise; it must be positive",
          name(), deviation);
  }
  normalization_ = normalization;
  const auto row = static_cast<std::size_t>(width()) * count;
  row_scale_.resize(row);
  row_shift_.resize(row);
  for (std::size_t i = 0; i < row; ++i) {
    const float deviation = normalization.std[i % count];
    row_scale_[i] = 1 / (255 * deviation);
    row_shift_[i] = -normalization.mean[i % count] / deviation;
  }
}

std::int64_t ImageDataset::size() const {
  return static_cast<std::int64_t>(subset_ ? subset_->size() : images_->labels.size());
}

std::size_t ImageDataset::record_of(std::int64_t index) const {
  const auto position = static_cast<std::size_t>(index);
  return subset_ ? static_cast<std::size_t>((*subset_)[position]) : position;
}

std::int64_t ImageDataset::label(std::int64_t index) const {
  check_indices({&index, 1});
  return images_->labels[record_of(index)];
}

ImageDataset ImageDataset::normalized(const Normalization& normalization) const {
  ImageDataset result = *this;
  result.set_normalization(normalization);
  return result;
}

ImageDataset ImageDataset::augmented(const Augmentation& augmentation) const {
  // With more padding than image a crop could show nothing at all.
  const std::int64_t most = std::min(height(), width()) / 2;
  check(augmentation.padding >= 0 && augmentation.padding <= most,
        "{}: a padding of {} pixels does not suit {} x {} images; take 0 to {}", name(),
        augmentation.padding, height(), width(), most);
  ImageDataset result = *this;
  result.augmentation_ = augmentation;
  return result;
}

Augmentation ImageDataset::basic_augmentation() const {
  return {.padding = std::min(height(), width()) / 16 * 2, .flip = images_->mirrored_alike};
}

ImageDataset ImageDataset::limit(std::int64_t count) const {
  check(count > 0, "{}: limiting it to {} images leaves nothing; ask for at least 1", name(),
        count);
  if (count >= size()) return *this;
  auto chosen = random_permutation(size(), 0, data_stream(StreamPurpose::subset, 0));
  chosen.resize(static_cast<std::size_t>(count));
  for (std::int64_t& index : chosen) index = static_cast<std::int64_t>(record_of(index));
  ImageDataset result = *this;
  result.subset_ = std::make_shared<const std::vector<std::int64_t>>(std::move(chosen));
  return result;
}

Batch ImageDataset::batch(std::span<const std::int64_t> indices,
                          const BatchContext& context) const {
  check_indices(indices);
  const auto count = static_cast<std::int64_t>(indices.size());
  const Shape shape = {count, channels(), height(), width()};
  const Tensor x = empty_strided(shape, channels_last_strides(shape), {.device = cpu});
  const Tensor y = empty({count}, {.dtype = i64, .device = cpu});
  auto* pixels = x.data<float>();
  auto* labels = y.data<std::int64_t>();
  for (const std::int64_t index : indices) {
    const std::size_t record = record_of(index);
    load(record, context, pixels);
    pixels += channels() * height() * width();
    *labels++ = images_->labels[record];
  }
  return {.x = x, .y = y};
}

void ImageDataset::load(std::size_t record, const BatchContext& context, float* out) const {
  const std::int64_t channels = this->channels();
  const std::int64_t height = this->height();
  const std::int64_t width = this->width();
  const auto row_size = static_cast<std::size_t>(width * channels);
  const std::uint8_t* image =
      images_->pixels.data() + record * static_cast<std::size_t>(height) * row_size;

  // The crop's corner relative to the image's, each in -padding..padding.
  const std::int64_t padding = augmentation_.padding;
  std::int64_t top = 0;
  std::int64_t left = 0;
  bool flip = false;
  if (padding > 0 || augmentation_.flip) {
    const auto words =
        philox4x32(context.seed, data_stream(StreamPurpose::augmentation, context.epoch), record);
    top = below(words[0], 2 * padding + 1) - padding;
    left = below(words[1], 2 * padding + 1) - padding;
    flip = augmentation_.flip && (words[2] >> 31) != 0;
  }

  // Columns of the crop that show the image: begin..end.
  const std::int64_t begin = std::max<std::int64_t>(0, -left);
  const std::int64_t end = std::min(width, width - left);
  const bool moved = flip || left != 0;
  const float* scale = row_scale_.data();
  const float* shift = row_shift_.data();
  std::vector<std::uint8_t> changed(moved ? row_size : 0);  // zero where the padding shows
  for (std::int64_t y = 0; y < height; ++y, out += row_size) {
    const std::int64_t source_y = y + top;
    if (source_y < 0 || source_y >= height) {
      std::copy(row_shift_.begin(), row_shift_.end(), out);
      continue;
    }
    const std::uint8_t* row = image + static_cast<std::size_t>(source_y) * row_size;
    if (moved) {
      for (std::int64_t x = begin; x < end; ++x) {
        const std::int64_t to = flip ? width - 1 - x : x;
        std::copy_n(row + (x + left) * channels, channels, changed.data() + to * channels);
      }
      row = changed.data();
    }
    for (std::size_t i = 0; i < row_size; ++i) {
      out[i] = static_cast<float>(row[i]) * scale[i] + shift[i];
    }
  }
}

}  // namespace minidl::data
