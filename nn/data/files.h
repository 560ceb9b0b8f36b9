// Reading dataset files that may be damaged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace minidl::data {

/// A file read from front to back, unpacked on the way if its content is gzip. Every Error names
/// the file and what is wrong with it: cannot be opened, truncated, corrupted, longer than
/// expected.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }

  /// The next `bytes` bytes, which hold `what` ("the header"); throws Error if the file ends
  /// before. Memory grows with what is really there: `bytes` may come from a header nobody has
  /// checked.
  std::vector<std::uint8_t> read(std::size_t bytes, const char* what);

  /// Throws Error if anything follows.
  void expect_end();

 private:
  class Source;
  class PlainSource;
  class GzipSource;

  std::string path_;
  std::unique_ptr<Source> source_;
};

/// Throws Error unless `folder` is a folder; `wanted` says what should be in it.
void require_folder(const std::string& folder, const std::string& wanted);

}  // namespace minidl::data
