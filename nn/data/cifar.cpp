#include "minidl/nn/data/cifar.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include "minidl/kernels/common/check.h"
#include "minidl/nn/data/files.h"

namespace minidl::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSide = 32;
constexpr std::size_t kChannels = 3;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kRecord = 1 + kChannels * kPlane;
constexpr std::size_t kClasses = 10;

fs::path find_folder(const std::string& folder) {
  require_folder(folder, "cifar-10-batches-bin, or data_batch_1.bin and test_batch.bin");
  const fs::path inside = fs::path(folder) / "cifar-10-batches-bin";
  std::error_code error;
  return fs::is_directory(inside, error) ? inside : fs::path(folder);
}

// data_batch_1.bin, data_batch_2.bin, ..., data_batch_10.bin: by number, not by letter.
std::vector<fs::path> find_files(const fs::path& folder, Split split) {
  std::vector<fs::path> files;
  const std::string start = split == Split::train ? "data_batch_" : "test_batch";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(start) || !file.ends_with(".bin")) continue;
    // Only a number in between: "data_batch_1 (1).bin" is a second copy.
    const std::string between = file.substr(start.size(), file.size() - start.size() - 4);
    if (between.find_first_not_of("0123456789") == std::string::npos) files.push_back(entry.path());
  }
  check(!error, "{}: could not be listed: {}; check its permissions", folder.string(),
        error.message());
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
    const std::string& left = a.native();
    const std::string& right = b.native();
    return left.size() != right.size() ? left.size() < right.size() : left < right;
  });
  check(!files.empty(),
        "{}: there is no {}.bin in it; name the folder of CIFAR-10's binary version",
        folder.string(), split == Split::train ? "data_batch_1" : "test_batch");
  return files;
}

// Appends the records of one file, with the planes of each image interleaved.
void read_file(const std::string& path, Images& images) {
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  check(!error, "{}: could not be read: {}", path, error.message());
  check(bytes > 0 && bytes % kRecord == 0,
        "{}: its {} bytes are not a whole number of {}-byte records; download or copy it again",
        path, bytes, kRecord);
  InputFile file(path);
  const std::size_t count = bytes / kRecord;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<std::uint8_t> record = file.read(kRecord, "a record");
    check(
        record[0] < kClasses,
        "{}: record {} has label {}, but labels are 0 to {}; check that this is CIFAR-10's binary "
        "version",
        path, i, record[0], kClasses - 1);
    images.labels.push_back(record[0]);
    const std::size_t start = images.pixels.size();
    images.pixels.resize(start + kRecord - 1);
    const std::uint8_t* planes = record.data() + 1;
    std::uint8_t* pixels = images.pixels.data() + start;
    for (std::size_t p = 0; p < kPlane; ++p) {
      for (std::size_t c = 0; c < kChannels; ++c)
        pixels[p * kChannels + c] = planes[c * kPlane + p];
    }
  }
  file.expect_end();
}

std::vector<std::string> read_class_names(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return {"airplane", "automobile", "bird",  "cat",  "deer",
            "dog",      "frog",       "horse", "ship", "truck"};
  }
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; names.size() <= kClasses && std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  check(names.size() == kClasses,
        "{}: should name {} classes, one on each line; download it again or remove it",
        path.string(), kClasses);
  return names;
}

Images read_dataset(const std::string& folder, Split split) {
  const fs::path inside = find_folder(folder);
  Images images;
  images.name = fmt::format("CIFAR-10 ({})", name(split));
  images.channels = kChannels;
  images.height = kSide;
  images.width = kSide;
  images.class_names = read_class_names(inside / "batches.meta.txt");
  for (const fs::path& file : find_files(inside, split)) read_file(file.string(), images);
  return images;
}

}  // namespace

Cifar10::Cifar10(const std::string& folder, Split split)
    : ImageDataset(read_dataset(folder, split),
                   {.mean = {0.4914f, 0.4822f, 0.4465f}, .std = {0.2470f, 0.2435f, 0.2616f}}) {}

}  // namespace minidl::data
