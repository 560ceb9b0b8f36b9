// The file format: what comes back, what is rejected, and that a failed save leaves the old file.

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/serialization/atomic_file.h"
#include "minidl/core/serialization/safetensors.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/folder.h"
#include "tests/mutate.h"
#include "tests/random_views.h"
#include "tests/safetensors_bytes.h"

using namespace minidl;
using namespace minidl::test;
namespace fs = std::filesystem;

namespace {

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\1'));
}

std::string header_of(const std::string& path) {
  const std::string bytes = read_bytes(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  return bytes.substr(sizeof(length), length);
}

std::string message_of_loading(const std::string& path, const SafetensorsOptions& options = {}) {
  try {
    load_safetensors(path, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "loaded";
}

}  // namespace

TEST_CASE("safetensors: every dtype comes back bit for bit", "[safetensors]") {
  const Folder folder;
  for (const DType dtype : {f32, f16, bf16, f64, i8, u8, i32, i64, boolean}) {
    CAPTURE(name(dtype));
    const Tensor t = tensor({0, 1, 1, 0, 1, 1}, {2, 3}, {.dtype = dtype});
    save_safetensors(folder / "t", {{"x", t}});
    const SafetensorsFile file = load_safetensors(folder / "t");
    REQUIRE(file.tensors.size() == 1);
    CHECK(file.tensors[0].name == "x");
    CHECK(file.tensors[0].tensor.dtype() == dtype);
    CHECK(file.tensors[0].tensor.shape() == t.shape());
    const Tensor expected = t.to(cpu);
    CHECK(std::memcmp(file.tensors[0].tensor.raw_data(), expected.raw_data(),
                      t.storage().bytes()) == 0);
  }
}

TEST_CASE("safetensors: scalars, empty tensors and odd numbers", "[safetensors]") {
  const Folder folder;
  const Tensor odd = tensor({NAN, INFINITY, -INFINITY, -0.0, 5e-324}, {5}, {.dtype = f64});
  save_safetensors(folder / "t", {{"scalar", scalar(3)},
                                  {"empty", zeros({2, 0, 3})},
                                  {"empty first", zeros({0}, {.dtype = i8})},
                                  {"odd", odd}});
  const StateDict tensors = load_safetensors(folder / "t").tensors;
  REQUIRE(tensors.size() == 4);
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    if (name == "scalar") {
      CHECK(tensor.dim() == 0);
      CHECK(tensor.item() == 3);
    } else if (name == "odd") {
      CHECK(std::memcmp(tensor.raw_data(), odd.to(cpu).raw_data(), 40) == 0);
    } else {
      CHECK(tensor.numel() == 0);
    }
  }
}

TEST_CASE("safetensors: a file without tensors", "[safetensors]") {
  const Folder folder;
  save_safetensors(folder / "t", {});
  CHECK(load_safetensors(folder / "t").tensors.empty());
}

TEST_CASE("safetensors: strided tensors are stored in logical order", "[safetensors]") {
  const Folder folder;
  const Tensor base = arange(24, {.dtype = f32}).reshape({1, 2, 3, 4});
  const StateDict views{
      {"nhwc", base.channels_last()},
      {"transposed", base.transpose(1, 3)},
      {"sliced", base.slice(3, 1, 4, 2)},
      {"stretched", base.select(0, 0).select(0, 0).unsqueeze(0).expand({2, 3, 4})},
      {"learning", ones({2}, {.requires_grad = true}) * 2}};
  save_safetensors(folder / "t", views);
  const StateDict loaded = load_safetensors(folder / "t").tensors;
  REQUIRE(loaded.size() == views.size());
  for (const auto& [name, tensor] : loaded) {
    for (const auto& view : views) {
      if (view.name != name) continue;
      CHECK(tensor.shape() == view.tensor.shape());
      CHECK(tensor.to_vector() == view.tensor.to_vector());
      CHECK(tensor.is_contiguous());
    }
  }
}

TEST_CASE("safetensors: order, padding and metadata of a written file", "[safetensors]") {
  const Folder folder;
  save_safetensors(folder / "t",
                   {{"b", zeros({1})},
                    {"tiny", zeros({1}, {.dtype = u8})},
                    {"a", zeros({1}, {.dtype = i32})},
                    {"wide", zeros({1}, {.dtype = f64})},
                    {"half", zeros({1}, {.dtype = f16})}},
                   {{"epoch", "3"}, {"note", "ü \"quoted\"\n"}});
  std::vector<std::string> order;
  const SafetensorsFile file = load_safetensors(folder / "t");
  for (const auto& entry : file.tensors) order.push_back(entry.name);
  CHECK(order == std::vector<std::string>{"wide", "a", "b", "half", "tiny"});
  CHECK(file.metadata == std::map<std::string, std::string>{
                             {"format", "pt"}, {"epoch", "3"}, {"note", "ü \"quoted\"\n"}});
  const std::string header = header_of(folder / "t");
  CHECK(header.size() % 8 == 0);
  CHECK(header.front() == '{');
  CHECK(read_bytes(folder / "t").size() == 8 + header.size() + 19);
}

TEST_CASE("safetensors: the same tensors give the same bytes in any order", "[safetensors]") {
  const Folder folder;
  const NamedTensor a{"a", ones({2})};
  const NamedTensor b{"b", zeros({3}, {.dtype = i64})};
  save_safetensors(folder / "1", {a, b});
  save_safetensors(folder / "2", {b, a});
  CHECK(read_bytes(folder / "1") == read_bytes(folder / "2"));
}

TEST_CASE("safetensors: legal files from other writers load", "[safetensors]") {
  const Folder folder;
  const std::string entry = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  struct Row {
    std::string label;
    std::string bytes;
    std::size_t tensors;
  };
  const std::vector<Row> rows{
      {"no metadata", file_of("{" + entry + "}", 8), 1},
      {"white space around", file_of(" \n\t{ " + entry + " } \r\n ", 8), 1},
      {"an unaligned header", file_of("{" + entry + "} ", 8), 1},
      {"nothing at all", file_of("{}", 0), 0},
      {"keys in another order",
       file_of(R"({"x":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}})", 8), 1},
      {"an empty tensor between others",
       file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
               R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[1,1]},)"
               R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
               3),
       3},
      {"data not in the order of the header",
       file_of(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
               R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})",
               2),
       2},
      {"an escaped name",
       file_of(R"({"\u00e4\"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), 1},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    write_bytes(folder / "t", row.bytes);
    CHECK(message_of_loading(folder / "t") == "loaded");
    CHECK(load_safetensors(folder / "t").tensors.size() == row.tensors);
  }
}

TEST_CASE("safetensors: every broken rule is reported with the file's name", "[safetensors]") {
  const Folder folder;
  auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}}";
  };
  const std::string ok = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  const std::string huge = "4611686018427387904";
  struct Row {
    std::string label;
    std::string bytes;
    std::string text;
  };
  const std::vector<Row> rows{
      {"an empty file", "", "shorter than 8 bytes"},
      {"seven bytes", "1234567", "shorter than 8 bytes"},
      {"a huge header length", with_length(100'000'001, "{}"), "claims 100000001 bytes"},
      {"the largest header length", with_length(UINT64_MAX, "{}"), "claims 18446744073709551615"},
      {"a header longer than the file", with_length(3, "{}"), "claims 3 bytes of a file of 10"},
      {"no header", with_length(0, ""), "not JSON"},
      {"not UTF-8", file_of("{\"\xff\":1}", 0), "not JSON in UTF-8"},
      {"not UTF-8 in the metadata", file_of("{\"__metadata__\":{\"a\":\"\xc3\"}}", 0), "UTF-8"},
      {"not JSON", file_of("{\"x\":}", 0), "not JSON"},
      {"a byte order mark", file_of("\xEF\xBB\xBF{}", 0), "starts with a BOM"},
      {"a truncated header", file_of("{\"x\":{", 0), "not JSON"},
      {"text behind the header", file_of("{} x", 0), "not JSON"},
      {"NUL behind the header", file_of(std::string("{}\0\0", 4), 0), "not JSON"},
      {"a list", file_of("[]", 0), "not a JSON object"},
      {"a number", file_of("5", 0), "not a JSON object"},
      {"duplicate names", file_of("{\"x\":" + ok + ",\"x\":" + ok + "}", 1), "duplicate key 'x'"},
      {"duplicate names, one escaped", file_of("{\"x\":" + ok + ",\"\\u0078\":" + ok + "}", 1),
       "duplicate key 'x'"},
      {"duplicate fields",
       file_of(R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
       "duplicate key 'dtype'"},
      {"duplicate metadata", file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "duplicate key"},
      {"metadata that is no object", file_of(R"({"__metadata__":[]})", 0), "not an object"},
      {"metadata that is no text", file_of(R"({"__metadata__":{"a":1}})", 0),
       "'a' is not a string"},
      {"nested metadata", file_of(R"({"__metadata__":{"a":{}}})", 0), "not a string"},
      {"an entry that is no object", file_of(R"({"x":1})", 0), "'x' must have"},
      {"a missing field", file_of(R"({"x":{"dtype":"U8","shape":[1]}})", 1), "'x' must have"},
      {"an unknown field",
       file_of(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"y":1}})", 1),
       "nothing else"},
      {"an unknown dtype", file_of(entry(R"("F8")", "[1]", "[0,1]"), 1), "unknown dtype F8"},
      {"a dtype that is no text", file_of(entry("7", "[1]", "[0,1]"), 1), "unknown dtype 7"},
      {"a dtype in small letters", file_of(entry(R"("f32")", "[1]", "[0,4]"), 4), "unknown dtype"},
      {"a shape that is no list", file_of(entry(R"("U8")", "1", "[0,1]"), 1), "not a list"},
      {"a negative extent", file_of(entry(R"("U8")", "[-1]", "[0,1]"), 1), "not a number"},
      {"a fractional extent", file_of(entry(R"("U8")", "[1.0]", "[0,1]"), 1), "not a number"},
      {"too many dimensions", file_of(entry(R"("U8")", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1),
       "9 dimensions"},
      {"an overflowing product", file_of(entry(R"("U8")", "[" + huge + ",4]", "[0,0]"), 0),
       "overflows"},
      {"an overflowing size", file_of(entry(R"("F64")", "[" + huge + "]", "[0,0]"), 0),
       "overflows"},
      {"an extent above 63 bits", file_of(entry(R"("U8")", "[9223372036854775808]", "[0,0]"), 0),
       "overflows"},
      {"an extent above 64 bits", file_of(entry(R"("U8")", "[18446744073709551616]", "[0,0]"), 0),
       "not a number"},
      {"an empty tensor beyond any memory",
       file_of(entry(R"("U8")", "[0," + huge + "," + huge + "]", "[0,0]"), 0), "too large"},
      {"offsets that are no pair", file_of(entry(R"("U8")", "[1]", "[0]"), 1), "not a pair"},
      {"offsets that are no list", file_of(entry(R"("U8")", "[1]", "1"), 1), "not a pair"},
      {"a negative offset", file_of(entry(R"("U8")", "[1]", "[-1,0]"), 1), "not a number"},
      {"an end before the beginning", file_of(entry(R"("U8")", "[1]", "[1,0]"), 1), "offsets are"},
      {"a size that does not fit", file_of(entry(R"("F32")", "[2]", "[0,4]"), 4), "holds 8 bytes"},
      {"a hole at the start", file_of(entry(R"("U8")", "[1]", "[1,2]"), 2), "starts at 1"},
      {"a hole",
       file_of("{\"a\":" + ok + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", 3),
       "'b' starts at 2"},
      {"an overlap", file_of("{\"a\":" + ok + ",\"b\":" + ok + "}", 1), "starts at 0"},
      {"bytes left over", file_of("{\"a\":" + ok + "}", 2), "end at 1, the data at 2"},
      {"bytes missing", file_of("{\"a\":" + ok + "}", 0), "end at 1, the data at 0"},
      {"data without tensors", file_of("{}", 1), "the data at 1"},
  };
  for (const Row& row : rows) {
    const std::string path = folder / "broken.safetensors";
    write_bytes(path, row.bytes);
    const std::string message = message_of_loading(path);
    INFO(row.label << ": " << message);
    CHECK(message.find(row.text) != std::string::npos);
    CHECK(message.find(path) == 0);
    CHECK_THROWS_WITH(inspect_safetensors(path), Contains(path) && Contains(row.text));
  }
}

TEST_CASE("safetensors: files that are not there or are folders", "[safetensors]") {
  const Folder folder;
  CHECK(message_of_loading(folder / "none").find("could not be opened") != std::string::npos);
  CHECK(message_of_loading(folder / ".").find("could not be opened") != std::string::npos);
}

TEST_CASE("safetensors: deep nesting is refused without overflowing the stack", "[safetensors]") {
  const Folder folder;
  write_bytes(folder / "t", file_of(std::string(500'000, '['), 0));
  CHECK(message_of_loading(folder / "t").find("not JSON") != std::string::npos);
  write_bytes(folder / "t", file_of(std::string(500'000, '[') + std::string(500'000, ']'), 0));
  CHECK(message_of_loading(folder / "t").find("not a JSON object") != std::string::npos);
}

TEST_CASE("safetensors: mutated files load or are refused cleanly", "[safetensors][cpu]") {
  const Folder folder;
  save_safetensors(folder / "good",
                   {{"a", ones({2, 3})},
                    {"b", zeros({4}, {.dtype = i8})},
                    {"c", scalar(1)},
                    {"d", ones({3}, {.dtype = boolean})}},
                   {{"note", "text"}});
  // Every one through the mapping, through memory, and by its header alone: they must agree.
  check_mutations(read_bytes(folder / "good"), folder / "mutated", 10'000, [&] {
    const std::string path = folder / "mutated";
    if (message_of_loading(path) != message_of_loading(path, {.map = false})) CHECK(false);
    const SafetensorsFile mapped = load_safetensors(path);
    const SafetensorsFile read = load_safetensors(path, {.dtype = f64, .map = false});
    const SafetensorsFile inspected = inspect_safetensors(path);
    for (std::size_t i = 0; i < mapped.tensors.size(); ++i) {
      const Tensor& tensor = mapped.tensors[i].tensor;
      check_readable(tensor);
      check_readable(read.tensors.at(i).tensor);
      if (inspected.tensors.at(i).tensor.shape() != tensor.shape()) CHECK(false);
    }
  });
}

TEST_CASE("safetensors: a bool that is neither 0 nor 1 is refused", "[safetensors]") {
  const Folder folder;
  const std::string entry = R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})";
  write_bytes(folder / "t", with_length(entry.size(), entry + std::string("\0\2\1", 3)));
  CHECK(message_of_loading(folder / "t").find("element 1 is bool") != std::string::npos);
}

TEST_CASE("safetensors: what cannot be written is refused before anything is", "[safetensors]") {
  const Folder folder;
  save_safetensors(folder / "t", {{"old", ones({2})}});
  const std::string before = read_bytes(folder / "t");
  CHECK_THROWS_WITH(save_safetensors(folder / "t", {{"x", ones({1})}, {"x", ones({2})}}),
                    Contains("two tensors are named 'x'"));
  CHECK_THROWS_WITH(save_safetensors(folder / "t", {{"\xff", ones({1})}}), Contains("UTF-8"));
  CHECK_THROWS_AS(save_safetensors(folder / "t", {{"\xff", ones({1})}}), Error);
  CHECK_THROWS_AS(save_safetensors(folder / "t", {{"x", Tensor()}}), Error);
  CHECK(read_bytes(folder / "t") == before);
  CHECK(folder.entries() == 1);
}

TEST_CASE("safetensors: a save that fails half-way leaves the old file alone", "[safetensors]") {
  const Folder folder;
  save_safetensors(folder / "t", {{"old", ones({2})}});
  const std::string before = read_bytes(folder / "t");

  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    save_safetensors(folder / "t", {{"new", ones({10'000})}});
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, previous);

  CHECK(message.find("could not be written") != std::string::npos);
  CHECK(message.find(folder / "t") == 0);
  CHECK(read_bytes(folder / "t") == before);
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: nothing shows before commit, nothing stays without it", "[safetensors]") {
  const Folder folder;
  {
    AtomicFile file(folder / "t");
    file.write("half");
    CHECK_FALSE(fs::exists(folder / "t"));
  }
  CHECK(folder.entries() == 0);
  write_file(folder / "t", "whole");
  CHECK(read_bytes(folder / "t") == "whole");
  write_file(folder / "t", "");
  CHECK(read_bytes(folder / "t").empty());
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: errors name the path", "[safetensors]") {
  const Folder folder;
  CHECK_THROWS_WITH(write_file(folder / "no/such/folder/t", "x"),
                    Contains("no/such/folder/t") && Contains("could not be created"));
  fs::create_directory(folder / "taken");
  CHECK_THROWS_WITH(write_file(folder / "taken", "x"), Contains("could not be put in place"));
  CHECK(folder.entries() == 1);
}
