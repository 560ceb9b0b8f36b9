// Files that are either whole or not there.
#pragma once

#include <cstddef>
#include <string>

namespace minidl {

/// Writes beside `path` and takes its place on commit: a crash, a full disk or a kill at any moment
/// leaves the old file or the new one, never half of either. Throws Error naming the path when
/// something cannot be written.
class AtomicFile {
 public:
  /// Opens a temporary file in the folder of `path`.
  explicit AtomicFile(const std::string& path);
  /// Removes the temporary file unless commit() has run.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(const std::string& text) { write(text.data(), text.size()); }

  /// Flushes to the disk, renames, and flushes the folder.
  void commit();

 private:
  [[noreturn]] void fail_with_errno(const char* action) const;

  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// The whole of `text` as the file `path`, atomically.
void write_file(const std::string& path, const std::string& text);

}  // namespace minidl
