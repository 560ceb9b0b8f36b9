// Where loaded tensors lie: in the mapped file, which they keep and never change, or in memory.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/serialization/safetensors.h"
#include "minidl/kernels/common/allocator.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/folder.h"
#include "tests/safetensors_bytes.h"

using namespace minidl;
using namespace minidl::test;
namespace fs = std::filesystem;

TEST_CASE("safetensors: loaded tensors lie in the mapped file, and leave it alone",
          "[safetensors][cpu]") {
  const Folder folder;
  const std::string path = folder / "t";
  save_safetensors(path, {{"a", full({1000}, 1)}, {"b", full({1000}, 2)}});
  const std::string before = read_bytes(path);
  const auto in_use = [] { return memory_stats(cpu).total.current; };
  const std::int64_t bytes = in_use();
  const StateDict loaded = load_safetensors(path).tensors;
  CHECK(in_use() == bytes);
  loaded[0].tensor.fill_(7);
  CHECK(loaded[0].tensor.to_vector() == std::vector<double>(1000, 7));
  CHECK(loaded[1].tensor.to_vector() == std::vector<double>(1000, 2));
  CHECK(read_bytes(path) == before);
  CHECK(load_safetensors(path).tensors[0].tensor.to_vector() == std::vector<double>(1000, 1));

  const StateDict copied = load_safetensors(path, {.map = false}).tensors;
  CHECK(in_use() == bytes + 8000);
  CHECK(copied[1].tensor.to_vector() == loaded[1].tensor.to_vector());
}

TEST_CASE("safetensors: the mapping lives as long as the last tensor, whatever becomes of the file",
          "[safetensors][cpu]") {
  const Folder folder;
  const std::string path = folder / "t";
  const auto is_mapped = [&] {
    return read_bytes("/proc/self/maps").find(folder.path()) != std::string::npos;
  };
  save_safetensors(path, {{"a", full({1000}, 1)}, {"b", full({1000}, 2)}});
  {
    Tensor part = load_safetensors(path).tensors[1].tensor.slice(0, 10, 12);
    save_safetensors(path, {{"b", full({3}, 9)}});  // another file of this name
    CHECK(part.to_vector() == std::vector<double>{2, 2});
    fs::remove(path);
    CHECK(is_mapped());
    const Tensor leaf = part.set_requires_grad();
    part = Tensor();
    (leaf * leaf).sum().backward();
    CHECK(leaf.grad().to_vector() == std::vector<double>{4, 4});
  }
  CHECK_FALSE(is_mapped());
}

TEST_CASE("safetensors: what is not aligned in the file is copied", "[safetensors]") {
  const Folder folder;
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
                             R"("c":{"dtype":"F64","shape":[],"data_offsets":[9,17]},)"
                             R"("d":{"dtype":"U8","shape":[2],"data_offsets":[17,19]}})";
  const float b[] = {1.5F, -2};
  const double c = 0.1;
  for (std::size_t spaces = 0; spaces < 8; ++spaces) {
    std::string data("\7");
    data.append(reinterpret_cast<const char*>(b), sizeof(b));
    data.append(reinterpret_cast<const char*>(&c), sizeof(c)).append("\1\2");
    write_bytes(folder / "t",
                with_length(header.size() + spaces, header + std::string(spaces, ' ') + data));
    const StateDict tensors = load_safetensors(folder / "t").tensors;
    REQUIRE(tensors.size() == 4);
    CHECK(tensors[0].tensor.item() == 7);
    CHECK(tensors[1].tensor.to_vector() == std::vector<double>{1.5, -2});
    CHECK(tensors[2].tensor.item() == 0.1);
    CHECK(tensors[3].tensor.to_vector() == std::vector<double>{1, 2});
    for (const auto& [name, tensor] : tensors) {
      CHECK(reinterpret_cast<std::uintptr_t>(tensor.raw_data()) % size_of(tensor.dtype()) == 0);
    }
  }
}

TEST_CASE("safetensors: dtype and device of what is loaded", "[safetensors]") {
  const Folder folder;
  const std::vector<double> values{0, 1, 0.5, -3};
  save_safetensors(folder / "t", {{"wide", tensor(values, {4}, {.dtype = f64})},
                                  {"brain", tensor(values, {4}, {.dtype = bf16})},
                                  {"count", tensor({3}, {1}, {.dtype = i64})},
                                  {"flag", tensor({1}, {1}, {.dtype = boolean})}});
  for (const DType dtype : {f32, f64, f16, bf16}) {
    const SafetensorsOptions options{.dtype = dtype, .device = test_device()};
    for (const auto& [name, tensor] : load_safetensors(folder / "t", options).tensors) {
      INFO(name << " as " << minidl::name(dtype));
      CHECK(tensor.device() == test_device());
      CHECK(tensor.dtype() == (name == "count" ? i64 : name == "flag" ? boolean : dtype));
      if (tensor.numel() == 4) CHECK(tensor.to_vector() == values);
    }
  }
  CHECK_THROWS_WITH(load_safetensors(folder / "t", {.dtype = i8}), Contains("not to i8"));
}

TEST_CASE("safetensors: a header tells names and shapes of data that nobody reads",
          "[safetensors][cpu]") {
  const Folder folder;
  const std::string path = folder / "t";
  std::string header = R"({"__metadata__":{"note":"text"},)"
                       R"("big":{"dtype":"F32","shape":[4,4294967296],)"
                       R"("data_offsets":[0,68719476736]}})";
  header.append(8 - header.size() % 8, ' ');
  write_bytes(path, with_length(header.size(), header));
  CHECK_THROWS_WITH(inspect_safetensors(path), Contains("the data at 0"));
  fs::resize_file(path, 8 + header.size() + 68'719'476'736);  // a hole of 64 GiB
  const SafetensorsFile file = inspect_safetensors(path);
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].name == "big");
  CHECK(describe(file.tensors[0].tensor) == "fake f32[4, 4294967296] on cpu");
  CHECK(file.metadata == std::map<std::string, std::string>{{"note", "text"}});
  const Tensor mapped = load_safetensors(path).tensors[0].tensor;
  CHECK(mapped.slice(1, 4294967294, 4294967296).sum().item() == 0);
}
