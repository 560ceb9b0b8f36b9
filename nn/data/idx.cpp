#include "minidl/nn/data/idx.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "minidl/kernels/common/check.h"
#include "minidl/nn/data/files.h"

namespace minidl::data {
namespace {

constexpr std::uint32_t kImagesMagic = 0x00000803;  // unsigned bytes in three dimensions
constexpr std::uint32_t kLabelsMagic = 0x00000801;  // unsigned bytes in one dimension
constexpr std::uint32_t kLongestSide = 16384;       // keeps count x height x width below 2^60

// The 32-bit big-endian numbers that an IDX file starts with: magic, then the extents.
std::vector<std::uint32_t> read_header(InputFile& file, std::uint32_t magic, std::size_t extents) {
  const std::vector<std::uint8_t> bytes = file.read(4 * (1 + extents), "the IDX header");
  std::vector<std::uint32_t> header;
  for (std::size_t i = 0; i < bytes.size(); i += 4) {
    header.push_back(std::uint32_t{bytes[i]} << 24 | std::uint32_t{bytes[i + 1]} << 16 |
                     std::uint32_t{bytes[i + 2]} << 8 | bytes[i + 3]);
  }
  check(
      header[0] == magic,
      "{}: not an IDX file of {}: its magic number is {:#010x} instead of {:#010x}; check that the "
      "file is what its name says",
      file.path(), magic == kImagesMagic ? "images" : "labels", header[0], magic);
  return header;
}

struct Pixels {
  std::size_t count = 0;
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::vector<std::uint8_t> bytes;
};

Pixels read_images(const std::string& path) {
  InputFile file(path);
  const std::vector<std::uint32_t> header = read_header(file, kImagesMagic, 3);
  Pixels result{.count = header[1], .height = header[2], .width = header[3], .bytes = {}};
  check(result.count > 0, "{}: holds no images; download or copy it again", path);
  check(result.height >= 1 && result.height <= kLongestSide && result.width >= 1 &&
            result.width <= kLongestSide,
        "{}: images of {} x {} pixels are not plausible; download or copy it again", path,
        result.height, result.width);
  result.bytes = file.read(result.count * result.height * result.width, "the pixels");
  file.expect_end();
  return result;
}

std::vector<std::uint8_t> read_labels(const std::string& path, std::size_t classes) {
  InputFile file(path);
  const std::size_t count = read_header(file, kLabelsMagic, 1)[1];
  std::vector<std::uint8_t> labels = file.read(count, "the labels");
  file.expect_end();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    check(labels[i] < classes,
          "{}: record {} has label {}, but labels are 0 to {}; check that the file belongs to this "
          "dataset",
          path, i, labels[i], classes - 1);
  }
  return labels;
}

// `stem` is "train-images", `type` is "idx3".
std::string find_file(const std::string& folder, const std::string& stem, const std::string& type) {
  for (const char* separator : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      const std::filesystem::path path =
          std::filesystem::path(folder) / (stem + separator + type + "-ubyte" + ending);
      std::error_code error;
      if (std::filesystem::exists(path, error)) return path.string();
    }
  }
  fail(
      "{}: there is no {}-{}-ubyte and no {}-{}-ubyte.gz in it; name the folder with the dataset's "
      "four files",
      folder, stem, type, stem, type);
}

Images read_dataset(const std::string& dataset, const std::string& folder, Split split,
                    std::vector<std::string> class_names, bool mirrored_alike) {
  require_folder(folder, "the four files of " + dataset + " (train-images-idx3-ubyte.gz, ...)");
  const std::string prefix = split == Split::train ? "train" : "t10k";
  const std::string images_path = find_file(folder, prefix + "-images", "idx3");
  const std::string labels_path = find_file(folder, prefix + "-labels", "idx1");
  std::vector<std::uint8_t> labels = read_labels(labels_path, class_names.size());
  Pixels pixels = read_images(images_path);
  check(labels.size() == pixels.count,
        "{}: {} labels do not fit the {} images of {}; take both files from one dataset",
        labels_path, labels.size(), pixels.count, images_path);
  return {.name = fmt::format("{} ({})", dataset, name(split)),
          .channels = 1,
          .height = pixels.height,
          .width = pixels.width,
          .class_names = std::move(class_names),
          .mirrored_alike = mirrored_alike,
          .pixels = std::move(pixels.bytes),
          .labels = std::move(labels)};
}

}  // namespace

Mnist::Mnist(const std::string& folder, Split split)
    : ImageDataset(read_dataset("MNIST", folder, split,
                                {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, false),
                   {.mean = {0.1307f}, .std = {0.3081f}}) {}

FashionMnist::FashionMnist(const std::string& folder, Split split)
    : ImageDataset(read_dataset("Fashion-MNIST", folder, split,
                                {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal",
                                 "Shirt", "Sneaker", "Bag", "Ankle boot"},
                                true),
                   {.mean = {0.2860f}, .std = {0.3530f}}) {}

}  // namespace minidl::data
