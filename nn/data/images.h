// Labelled images in memory, served as normalised floats.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "minidl/nn/data/dataset.h"

namespace minidl::data {

enum class Split { train, test };

/// "train" or "test"
const char* name(Split split);

/// Per-channel mean and standard deviation of pixels in 0..1.
struct Normalization {
  std::vector<float> mean;
  std::vector<float> std;
};

/// Random changes that leave an image its class; anew in each epoch.
struct Augmentation {
  std::int64_t padding = 0;  ///< crop at random from so many black pixels around the image
  bool flip = false;         ///< mirror left and right, every other time
};

/// What an ImageDataset is made of.
struct Images {
  std::string name;  ///< for messages
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::string> class_names;
  bool mirrored_alike = true;        ///< whether a mirrored image keeps its class (digits do not)
  std::vector<std::uint8_t> pixels;  ///< image after image, each height x width x channels
  std::vector<std::uint8_t> labels;  ///< each below class_names.size()
};

/// Images and their classes. Batches are x f32[N, C, H, W], stored as NHWC, with (pixel / 255 -
/// mean) / std, and y i64[N]. Copies share the pixels, so a dataset is passed around by value.
class ImageDataset : public Dataset {
 public:
  /// Normalised by the mean and deviation of its own pixels.
  explicit ImageDataset(Images images);
  ImageDataset(Images images, const Normalization& normalization);

  std::int64_t size() const override;
  Batch batch(std::span<const std::int64_t> indices, const BatchContext& context) const override;
  std::string name() const override { return images_->name; }

  std::int64_t channels() const { return images_->channels; }
  std::int64_t height() const { return images_->height; }
  std::int64_t width() const { return images_->width; }
  std::int64_t classes() const { return static_cast<std::int64_t>(class_names().size()); }
  const std::vector<std::string>& class_names() const { return images_->class_names; }
  std::int64_t label(std::int64_t index) const;
  const Normalization& normalization() const { return normalization_; }

  /// The same images, normalised otherwise: a test set takes its training set's normalization().
  ImageDataset normalized(const Normalization& normalization) const;

  /// The same images, changed at random.
  ImageDataset augmented(const Augmentation& augmentation) const;

  /// The usual augmentation: crops from a padding of two pixels for every 16 of the shorter side (4
  /// for 32x32, 2 for 28x28), and flips unless a mirrored image would change its class.
  Augmentation basic_augmentation() const;

  /// `count` of the images, drawn at random but always the same; all of them if there are no more.
  ImageDataset limit(std::int64_t count) const;

 private:
  std::size_t record_of(std::int64_t index) const;
  void set_normalization(const Normalization& normalization);
  void load(std::size_t record, const BatchContext& context, float* out) const;

  std::shared_ptr<const Images> images_;
  std::shared_ptr<const std::vector<std::int64_t>> subset_;  // null: all of them
  Normalization normalization_;
  Augmentation augmentation_;
  // One image row of factors and offsets, so that normalising is one loop without channels.
  std::vector<float> row_scale_;
  std::vector<float> row_shift_;
};

}  // namespace minidl::data
