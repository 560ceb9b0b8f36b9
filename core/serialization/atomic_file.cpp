#include "minidl/core/serialization/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "minidl/kernels/common/check.h"

namespace minidl {

AtomicFile::AtomicFile(const std::string& path)
    : path_(path), temporary_(fmt::format("{}.{}.tmp", path, getpid())) {
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_with_errno("created");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with_errno("written");
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail_with_errno("flushed to the disk");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno("put in place");
  close(descriptor_);
  descriptor_ = -1;
  const std::filesystem::path folder = std::filesystem::absolute(path_).parent_path();
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // the file is in place; only the folder's own flush is missing
  fsync(directory);
  close(directory);
}

void AtomicFile::fail_with_errno(const char* action) const {
  fail("{}: could not be {}: {}; check that the folder exists, is writable and has space", path_,
       action, std::strerror(errno));
}

void write_file(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace minidl
