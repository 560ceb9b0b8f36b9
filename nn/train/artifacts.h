// The folder that a run leaves behind.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace minidl::train {

/// A flat JSON object, in the order given. Numbers that are not finite become null.
using Value = std::variant<bool, std::int64_t, double, std::string>;
using Record = std::vector<std::pair<std::string, Value>>;

/// Files in one folder: JSON documents written atomically and a log of one JSON object a line.
class Artifacts {
 public:
  /// Creates the folder if needed and makes sure that it can be written to; what an earlier run
  /// left in it stays. Throws Error naming the folder.
  explicit Artifacts(std::string folder);

  /// The run begins: an empty metrics.jsonl, `config` as config.json, and no summary.json of an
  /// earlier run that could be taken for this one's.
  void begin(const Record& config) const;

  const std::string& folder() const { return folder_; }
  std::string path(const std::string& file) const;

  /// The record as `file`, atomically.
  void write(const std::string& file, const Record& record) const;
  /// The record as one more line of metrics.jsonl.
  void append_metrics(const Record& record) const;

 private:
  std::string folder_;
};

}  // namespace minidl::train
