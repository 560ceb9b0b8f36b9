// A file in memory, for readers that want a path.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace minidl::fuzz {

/// Aborts the program where something is not as it must be: the fuzzer keeps the input then.
inline void require(bool holds) {
  if (!holds) std::abort();
}

class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) { require(descriptor_ >= 0); }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  void write(const std::uint8_t* data, std::size_t bytes) const {
    require(ftruncate(descriptor_, 0) == 0);
    require(pwrite(descriptor_, data, bytes, 0) == static_cast<ssize_t>(bytes));
  }

 private:
  int descriptor_;
};

}  // namespace minidl::fuzz
