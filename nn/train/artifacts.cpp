#include "minidl/nn/train/artifacts.h"

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "minidl/core/serialization/atomic_file.h"
#include "minidl/kernels/common/check.h"

namespace minidl::train {
namespace {

constexpr const char* kMetrics = "metrics.jsonl";

nlohmann::ordered_json to_json(const Record& record) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, value] : record) {
    std::visit([&json, &name = key](const auto& plain) { json[name] = plain; }, value);
  }
  return json;
}

}  // namespace

Artifacts::Artifacts(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  check(!error && std::filesystem::is_directory(folder_),
        "artifacts folder '{}' cannot be created ({}); choose another one", folder_,
        error ? error.message() : "a file of that name is in the way");
  write_file(path(kMetrics), "");
}

std::string Artifacts::path(const std::string& file) const {
  return (std::filesystem::path(folder_) / file).string();
}

void Artifacts::write(const std::string& file, const Record& record) const {
  write_file(path(file), to_json(record).dump(2) + "\n");
}

void Artifacts::append_metrics(const Record& record) const {
  std::ofstream stream(path(kMetrics), std::ios::app);
  stream << to_json(record).dump() << "\n" << std::flush;
  check(stream.good(), "{} cannot be written: is the disk full?", path(kMetrics));
}

}  // namespace minidl::train
