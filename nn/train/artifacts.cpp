#include "minidl/nn/train/artifacts.h"

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "minidl/core/serialization/atomic_file.h"
#include "minidl/kernels/common/check.h"

namespace minidl::train {
namespace {

constexpr const char* kMetrics = "metrics.jsonl";

using Json = nlohmann::ordered_json;

Json to_json(const Record& record) {
  Json json = Json::object();
  for (const auto& [key, value] : record) {
    std::visit([&json, &name = key](const auto& plain) { json[name] = plain; }, value);
  }
  return json;
}

// A path that is not valid UTF-8 must not end a run: the offending bytes become U+FFFD.
std::string dump(const Record& record, int indent) {
  return to_json(record).dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Artifacts::Artifacts(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  check(!error && std::filesystem::is_directory(folder_),
        "artifacts folder '{}' cannot be created ({}); choose another one", folder_,
        error ? error.message() : "a file of that name is in the way");
  AtomicFile probe(path(kMetrics));  // throws if it cannot be created; never committed
}

void Artifacts::begin(const Record& config) const {
  std::error_code error;
  std::filesystem::remove(path("summary.json"), error);
  write("config.json", config);
  write_file(path(kMetrics), "");
}

std::string Artifacts::path(const std::string& file) const {
  return (std::filesystem::path(folder_) / file).string();
}

void Artifacts::write(const std::string& file, const Record& record) const {
  write_file(path(file), dump(record, 2));
}

void Artifacts::append_metrics(const Record& record) const {
  std::ofstream stream(path(kMetrics), std::ios::app);
  stream << dump(record, -1) << std::flush;
  check(stream.good(), "{} cannot be written: is the disk full?", path(kMetrics));
}

}  // namespace minidl::train
