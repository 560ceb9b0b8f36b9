// The folder of a run, and models in files.

#include <cmath>
#include <filesystem>
#include <string>

#include "minidl/core/serialization/atomic_file.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/serialization.h"
#include "minidl/nn/train/artifacts.h"
#include "tests/catch.h"
#include "tests/folder.h"

using namespace minidl;
using namespace minidl::test;
using minidl::train::Artifacts;
namespace fs = std::filesystem;

TEST_CASE("artifacts: the folder is made at once", "[artifacts]") {
  const Folder folder;
  const Artifacts artifacts(folder / "runs/one");
  CHECK(artifacts.folder() == folder / "runs/one");
  CHECK(fs::is_directory(folder / "runs/one"));
  CHECK(artifacts.path("x.json") == folder / "runs/one/x.json");
}

TEST_CASE("artifacts: documents keep the order and the types of their fields", "[artifacts]") {
  const Folder folder;
  const Artifacts artifacts(folder / "run");
  artifacts.write("summary.json", {{"b", true},
                                   {"a", std::int64_t{-3}},
                                   {"ratio", 0.5},
                                   {"text", std::string("a \"b\"\n")},
                                   {"lost", NAN},
                                   {"endless", INFINITY}});
  CHECK(read_bytes(artifacts.path("summary.json")) ==
        "{\n  \"b\": true,\n  \"a\": -3,\n  \"ratio\": 0.5,\n  \"text\": \"a \\\"b\\\"\\n\",\n"
        "  \"lost\": null,\n  \"endless\": null\n}\n");
  artifacts.write("summary.json", {});
  CHECK(read_bytes(artifacts.path("summary.json")) == "{}\n");
}

TEST_CASE("artifacts: metrics are one object a line", "[artifacts]") {
  const Folder folder;
  const Artifacts artifacts(folder / "run");
  artifacts.append_metrics({{"epoch", std::int64_t{1}}, {"loss", 0.25}});
  artifacts.append_metrics({{"epoch", std::int64_t{2}}, {"loss", NAN}});
  CHECK(read_bytes(artifacts.path("metrics.jsonl")) ==
        "{\"epoch\":1,\"loss\":0.25}\n{\"epoch\":2,\"loss\":null}\n");
}

TEST_CASE("artifacts: an earlier run's files stay until the next one begins", "[artifacts]") {
  const Folder folder;
  const Artifacts first(folder / "run");
  first.append_metrics({{"epoch", std::int64_t{1}}});
  first.write("summary.json", {});
  write_file(folder / "run/model.safetensors", "kept");
  const Artifacts again(folder / "run");
  CHECK(read_bytes(again.path("metrics.jsonl")) == "{\"epoch\":1}\n");
  CHECK(fs::exists(again.path("summary.json")));

  again.begin({{"seed", std::int64_t{3}}});
  CHECK(read_bytes(again.path("metrics.jsonl")).empty());
  CHECK(read_bytes(again.path("config.json")) == "{\n  \"seed\": 3\n}\n");
  CHECK_FALSE(fs::exists(again.path("summary.json")));
  CHECK(read_bytes(again.path("model.safetensors")) == "kept");
}

TEST_CASE("artifacts: bytes that are not UTF-8 do not end a run", "[artifacts]") {
  const Folder folder;
  const Artifacts artifacts(folder / "run");
  const train::Record record{{"data_dir", std::string("/data/\xff")}};
  CHECK_NOTHROW(artifacts.append_metrics(record));
  CHECK_NOTHROW(artifacts.write("config.json", record));
  CHECK(read_bytes(artifacts.path("metrics.jsonl")) == "{\"data_dir\":\"/data/\xef\xbf\xbd\"}\n");
}

TEST_CASE("artifacts: a folder that cannot be made is named", "[artifacts]") {
  const Folder folder;
  write_file(folder / "file", "");
  CHECK_THROWS_WITH(Artifacts(folder / "file"), Contains(folder / "file"));
  CHECK_THROWS_WITH(Artifacts(folder / "file/below"), Contains(folder / "file/below"));
  CHECK_THROWS_AS(Artifacts("/proc/minidl"), Error);
  CHECK_THROWS_AS(Artifacts(""), Error);
}

TEST_CASE("artifacts: a log that cannot be written is named", "[artifacts]") {
  const Folder folder;
  const Artifacts artifacts(folder / "run");
  fs::remove_all(folder / "run");
  CHECK_THROWS_WITH(artifacts.append_metrics({}), Contains("metrics.jsonl"));
  CHECK_THROWS_WITH(artifacts.write("x.json", {}), Contains("x.json"));
}

TEST_CASE("serialization: models go to a file and back", "[artifacts]") {
  const Folder folder;
  nn::Linear from({.in = 3, .out = 2});
  nn::Linear into({.in = 3, .out = 2});
  save(from, folder / "model.safetensors");
  CHECK(load(into, folder / "model.safetensors").clean());
  CHECK(into.weight.to_vector() == from.weight.to_vector());
  nn::Linear other({.in = 4, .out = 2, .bias = false});
  CHECK_THROWS_WITH(load(other, folder / "model.safetensors"),
                    Contains("unexpected bias") && Contains("mismatched weight"));
  CHECK(load(other, folder / "model.safetensors", /*strict=*/false).mismatched.size() == 1);
}
