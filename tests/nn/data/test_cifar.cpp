#include "minidl/kernels/common/philox.h"
#include "minidl/nn/data/cifar.h"
#include "tests/catch.h"
#include "tests/nn/data/data_files.h"

using namespace minidl;
using namespace minidl::data;
using namespace minidl::test;

namespace {

constexpr std::size_t kRecord = 3073;

// Byte i of record r is known; labels count up from `first`.
Bytes records(std::size_t count, std::size_t first) {
  Bytes bytes;
  for (std::size_t r = 0; r < count; ++r) {
    bytes.push_back(static_cast<std::uint8_t>((first + r) % 10));
    for (std::size_t i = 1; i < kRecord; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(((first + r) * 31 + i * 7) % 256));
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("CIFAR-10 takes all training files there are, in order of their numbers",
          "[data][cifar]") {
  const TempFolder folder;
  folder.write("data_batch_2.bin", records(3, 4));
  folder.write("data_batch_10.bin", records(2, 7));
  folder.write("data_batch_1.bin", records(4, 0));
  folder.write("test_batch.bin", records(2, 5));
  const Cifar10 train(folder.path());
  REQUIRE(train.size() == 9);
  for (std::int64_t i = 0; i < 9; ++i) CHECK(train.label(i) == i);
  CHECK(train.class_names()[0] == "airplane");
  CHECK(train.basic_augmentation().flip);
  CHECK(train.basic_augmentation().padding == 4);
  CHECK(Cifar10(folder.path(), Split::test).size() == 2);

  // Planes in the file, logical NCHW in the batch, NHWC in memory.
  const ImageDataset raw =
      train.normalized({.mean = {0, 0, 0}, .std = {1.0f / 255, 1.0f / 255, 1.0f / 255}});
  const std::vector<std::int64_t> indices = {8};
  const auto [x, y] = raw.batch(indices, {});
  CHECK(x.shape() == Shape{1, 3, 32, 32});
  const std::vector<double> values = x.to_vector();
  for (std::size_t i = 0; i < kRecord - 1; ++i) {
    const auto expected = static_cast<double>((8 * 31 + (i + 1) * 7) % 256);
    if (values[i] != Approx(expected)) CHECK(values[i] == Approx(expected));
  }
}

TEST_CASE("CIFAR-10 is found in the folder's parent, and its names are read", "[data][cifar]") {
  const TempFolder folder;
  std::filesystem::create_directory(folder.file("cifar-10-batches-bin"));
  folder.write("cifar-10-batches-bin/data_batch_1.bin", records(1, 0));
  std::string names;
  for (const char letter : std::string("abcdefghij")) names += std::string(1, letter) + "\r\n";
  folder.write("cifar-10-batches-bin/batches.meta.txt", Bytes(names.begin(), names.end()));
  const Cifar10 train(folder.path());
  CHECK(train.size() == 1);
  CHECK(train.class_names()[9] == "j");
  folder.write("cifar-10-batches-bin/batches.meta.txt", {'a', '\n'});
  CHECK_THAT(error_of([&] { Cifar10 set(folder.path()); }), Contains("batches.meta.txt"));
}

TEST_CASE("damaged CIFAR-10 files are refused by name", "[data][cifar]") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { Cifar10 set(folder.file("nowhere")); }), Contains("no such folder"));
  CHECK_THAT(error_of([&] { Cifar10 set(folder.path()); }), Contains("no data_batch_1.bin"));
  CHECK_THAT(error_of([&] { Cifar10 set(folder.path(), Split::test); }),
             Contains("no test_batch.bin"));

  const std::string name = "data_batch_1.bin";
  Bytes wrong_label = records(5, 0);
  wrong_label[3 * kRecord] = 10;
  const std::vector<std::pair<Bytes, const char*>> cases = {
      {{}, "0 bytes are not a whole number of 3073-byte records"},
      {cut(records(2, 0), kRecord + 17), "3090 bytes are not a whole number"},
      {records(2, 0) + Bytes{0}, "6147 bytes are not a whole number"},
      {wrong_label, "record 3 has label 10"},
      {gzip(records(2, 0)), "not a whole number"},
  };
  for (const auto& [bytes, expected] : cases) {
    folder.write(name, bytes);
    const std::string message = error_of([&] { Cifar10 set(folder.path()); });
    CHECK_THAT(message, Contains(folder.file(name)));
    CHECK_THAT(message, Contains(expected));
  }
  folder.remove(name);
  std::filesystem::create_directory(folder.file(name));
  CHECK_THAT(error_of([&] { Cifar10 set(folder.path()); }), Contains(folder.file(name)));
}

TEST_CASE("mutated CIFAR-10 files are read or refused, nothing else", "[data][cifar]") {
  constexpr std::uint64_t kSeed = 20240918;
  INFO("seed " << kSeed);
  PhiloxSequence random(kSeed, 0);
  const TempFolder folder;
  const Bytes good = records(3, 0);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    INFO("round " << round);
    Bytes bytes = good;
    const bool at_label = random.below(2) == 0;
    const auto size = static_cast<std::uint32_t>(bytes.size());
    const auto record = static_cast<std::uint32_t>(kRecord);
    const std::uint32_t at = at_label ? random.below(3) * record : random.below(size);
    switch (random.below(3)) {
      case 0: bytes[at] = static_cast<std::uint8_t>(random.below(256)); break;
      case 1: bytes.resize(at); break;
      default: bytes.insert(bytes.begin() + at, 0x1f);
    }
    folder.write("data_batch_1.bin", bytes);
    const std::string message = error_of([&] { Cifar10 set(folder.path()); });
    if (!message.empty()) {
      ++refused;
      CHECK_THAT(message, Contains("data_batch_1.bin"));
    }
  }
  CHECK(refused > 100);
}

TEST_CASE("the real CIFAR-10 is read", "[data][cifar]") {
  const auto folder = real_data("cifar-10-batches-bin");
  if (!folder) return;
  const Cifar10 train(*folder);
  CHECK(train.size() % 10000 == 0);
  const Cifar10 test(std::filesystem::path(*folder).parent_path().string(), Split::test);
  CHECK(test.size() == 10000);
  std::vector<int> counts(10);
  for (std::int64_t i = 0; i < test.size(); ++i) ++counts[static_cast<std::size_t>(test.label(i))];
  CHECK(counts == std::vector<int>(10, 1000));
  CHECK(test.class_names()[3] == "cat");
}
