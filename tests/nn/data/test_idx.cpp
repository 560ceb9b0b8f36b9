#include "minidl/kernels/common/philox.h"
#include "minidl/nn/data/idx.h"
#include "tests/catch.h"
#include "tests/nn/data/data_files.h"

using namespace minidl;
using namespace minidl::data;
using namespace minidl::test;

namespace {

constexpr std::uint32_t kCount = 12;
constexpr std::uint32_t kSide = 6;

Bytes pixels() {
  Bytes bytes;
  for (std::uint32_t i = 0; i < kCount * kSide * kSide; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i * 37 % 256));
  }
  return bytes;
}

Bytes labels() {
  Bytes bytes;
  for (std::uint32_t i = 0; i < kCount; ++i) bytes.push_back(static_cast<std::uint8_t>(i % 10));
  return bytes;
}

Bytes image_file() {
  return big_endian({0x803, kCount, kSide, kSide}) + pixels();
}
Bytes label_file() {
  return big_endian({0x801, kCount}) + labels();
}

constexpr const char* kImages = "train-images-idx3-ubyte";
constexpr const char* kLabels = "train-labels-idx1-ubyte";

void check_content(const ImageDataset& set) {
  REQUIRE(set.size() == kCount);
  CHECK(set.channels() == 1);
  CHECK(set.height() == kSide);
  CHECK(set.width() == kSide);
  CHECK(set.classes() == 10);
  const ImageDataset raw = set.normalized({.mean = {0}, .std = {1.0f / 255}});
  const std::vector<std::int64_t> indices = {3, 11};
  const auto [x, y] = raw.batch(indices, {});
  const std::vector<double> values = x.to_vector();
  const Bytes expected = pixels();
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(y.to_vector()[i] == static_cast<double>(indices[i] % 10));
    for (std::size_t p = 0; p < kSide * kSide; ++p) {
      const std::size_t at = static_cast<std::size_t>(indices[i]) * kSide * kSide + p;
      if (values[i * kSide * kSide + p] != Approx(expected[at])) CHECK(false);
    }
  }
}

}  // namespace

TEST_CASE("IDX files are read plain and packed, under both names", "[data][idx]") {
  for (const std::string separator : {"-", "."}) {
    for (const bool packed : {false, true}) {
      const TempFolder folder;
      const std::string ending = packed ? "-ubyte.gz" : "-ubyte";
      for (const std::string prefix : {"train", "t10k"}) {
        folder.write(prefix + "-images" + separator + "idx3" + ending,
                     packed ? gzip(image_file()) : image_file());
        folder.write(prefix + "-labels" + separator + "idx1" + ending,
                     packed ? gzip(label_file()) : label_file());
      }
      check_content(Mnist(folder.path()));
      check_content(FashionMnist(folder.path(), Split::test));
    }
  }
}

TEST_CASE("digits are not to be mirrored, clothes are", "[data][idx]") {
  const TempFolder folder;
  folder.write(kImages, image_file());
  folder.write(kLabels, label_file());
  CHECK_FALSE(Mnist(folder.path()).basic_augmentation().flip);
  CHECK(FashionMnist(folder.path()).basic_augmentation().flip);
}

TEST_CASE("damaged IDX files are refused by name", "[data][idx]") {
  struct Case {
    const char* what;
    Bytes images;
    Bytes labels;
    const char* named;    // the file in the message
    const char* message;  // part of it
  };
  const Bytes images = image_file();
  const Bytes good = label_file();
  Bytes wrong_label = good;
  wrong_label[8 + 7] = 10;
  Bytes flipped = gzip(images);
  flipped[flipped.size() / 2] ^= 0x40;
  Bytes wrong_sum = gzip(images);
  wrong_sum[wrong_sum.size() - 6] ^= 1;
  const Bytes packed = gzip(images);
  const std::uint32_t most = 0xffffffff;
  const std::vector<Case> cases = {
      {"images under labels' magic", big_endian({0x801, kCount, kSide, kSide}) + pixels(), good,
       kImages, "magic number is 0x00000801 instead of 0x00000803"},
      {"labels under images' magic", images, big_endian({0x803, kCount}) + labels(), kLabels,
       "magic number"},
      {"text", Bytes(100, 'a'), good, kImages, "magic number is 0x61616161"},
      {"empty images", {}, good, kImages, "the file is empty"},
      {"empty labels", images, {}, kLabels, "the file is empty"},
      {"one byte", {0}, good, kImages, "truncated: the IDX header"},
      {"truncated header", cut(images, 11), good, kImages, "truncated: the IDX header"},
      {"truncated label header", images, cut(good, 7), kLabels, "truncated: the IDX header"},
      {"no pixels", cut(images, 16), good, kImages, "truncated: the pixels"},
      {"one pixel short", cut(images, images.size() - 1), good, kImages,
       "truncated: the pixels should take 432 bytes, but only 431 are there"},
      {"one label short", images, cut(good, good.size() - 1), kLabels, "truncated: the labels"},
      {"a byte too many", images + Bytes{0}, good, kImages, "trailing bytes"},
      {"a label too many", images, good + Bytes{0}, kLabels, "trailing bytes"},
      {"label 10", images, wrong_label, kLabels, "record 7 has label 10"},
      {"no images", big_endian({0x803, 0, kSide, kSide}), good, kImages, "holds no images"},
      {"fewer images", big_endian({0x803, 1, kSide, kSide}) + cut(pixels(), kSide * kSide), good,
       kLabels, "12 labels do not fit the 1 images"},
      {"flat images", big_endian({0x803, kCount, 0, kSide}), good, kImages, "0 x 6 pixels"},
      {"absurd count", big_endian({0x803, most, kSide, kSide}) + pixels(), good, kImages,
       "truncated: the pixels"},
      {"absurd sides", big_endian({0x803, kCount, most, most}) + pixels(), good, kImages,
       "not plausible"},
      {"absurd everything", big_endian({0x803, most, 16384, 16384}) + pixels(), good, kImages,
       "truncated: the pixels"},
      {"absurd number of labels", images, big_endian({0x801, most}) + labels(), kLabels,
       "truncated: the labels"},
      {"packed: bit flipped", flipped, good, kImages, "gzip data is corrupted"},
      {"packed: wrong checksum", wrong_sum, good, kImages, "gzip data is corrupted"},
      {"packed: truncated", cut(packed, packed.size() / 2), good, kImages, "truncated"},
      {"packed: checksum missing", cut(packed, packed.size() - 8), good, kImages, "truncated"},
      {"packed: only the header", cut(packed, 4), good, kImages, "truncated"},
      {"packed: garbage behind", packed + Bytes{1, 2, 3}, good, kImages, "trailing bytes"},
      {"packed: a byte too many", gzip(images + Bytes{0}), good, kImages, "trailing bytes"},
      {"packed: one pixel short", gzip(cut(images, images.size() - 1)), good, kImages,
       "truncated: the pixels"},
      {"packed: absurd count", gzip(big_endian({0x803, most, 16384, 16384}) + pixels()), good,
       kImages, "truncated: the pixels"},
  };
  for (const Case& test : cases) {
    INFO(test.what);
    const TempFolder folder;
    folder.write(kImages, test.images);
    folder.write(kLabels, test.labels);
    const std::string message = error_of([&] { Mnist set(folder.path()); });
    CHECK_THAT(message, Contains(folder.file(test.named)));
    CHECK_THAT(message, Contains(test.message));
  }
}

TEST_CASE("missing IDX files and folders are named", "[data][idx]") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { Mnist set(folder.file("nowhere")); }), Contains("no such folder"));
  CHECK_THAT(error_of([&] { Mnist set(""); }), Contains("no such folder"));
  CHECK_THAT(error_of([&] { Mnist set(folder.path()); }), Contains("train-images-idx3-ubyte.gz"));
  folder.write(kImages, image_file());
  CHECK_THAT(error_of([&] { Mnist set(folder.path()); }), Contains("train-labels-idx1-ubyte"));
  CHECK_THAT(error_of([&] { Mnist set(folder.path(), Split::test); }), Contains("t10k-images"));
  CHECK_THAT(error_of([&] { Mnist set(folder.file(kImages)); }), Contains("no such folder"));
  std::filesystem::create_directory(folder.file(kLabels));
  CHECK_THAT(error_of([&] { Mnist set(folder.path()); }), Contains(kLabels));
}

TEST_CASE("mutated IDX files are read or refused, nothing else", "[data][idx]") {
  constexpr std::uint64_t kSeed = 20240917;
  INFO("seed " << kSeed);
  PhiloxSequence random(kSeed, 0);
  const TempFolder folder;
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    INFO("round " << round);
    const bool packed = random.below(2) == 0;
    const bool mutate_images = random.below(3) != 0;
    Bytes images = packed ? gzip(image_file()) : image_file();
    Bytes labels = packed ? gzip(label_file()) : label_file();
    Bytes& target = mutate_images ? images : labels;
    const std::uint32_t changes = 1 + random.below(4);
    for (std::uint32_t i = 0; i < changes; ++i) {
      const bool at_start = random.below(2) == 0;
      const auto size = static_cast<std::uint32_t>(target.size());
      if (size == 0) break;
      const std::uint32_t at = random.below(at_start ? std::min(size, 24u) : size);
      switch (random.below(4)) {
        case 0: target[at] = static_cast<std::uint8_t>(random.below(256)); break;
        case 1: target[at] ^= static_cast<std::uint8_t>(1u << random.below(8)); break;
        case 2: target.resize(at); break;
        default: target.insert(target.begin() + at, static_cast<std::uint8_t>(random.below(256)));
      }
    }
    folder.write(kImages, images);
    folder.write(kLabels, labels);
    const std::string message = error_of([&] { Mnist set(folder.path()); });
    if (!message.empty()) {
      ++refused;
      CHECK_THAT(message, Contains(folder.path()));
    }
  }
  CHECK(refused > 200);
}

TEST_CASE("the real Fashion-MNIST is read", "[data][idx]") {
  const auto folder = real_data("fashion-mnist");
  if (!folder) return;
  const FashionMnist train(*folder);
  const FashionMnist test(*folder, Split::test);
  CHECK(train.size() == 60000);
  CHECK(test.size() == 10000);
  std::vector<int> counts(10);
  for (std::int64_t i = 0; i < train.size(); ++i)
    ++counts[static_cast<std::size_t>(train.label(i))];
  CHECK(counts == std::vector<int>(10, 6000));
}
