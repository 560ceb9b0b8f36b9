#include "minidl/core/serialization/input_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "minidl/kernels/common/check.h"

namespace minidl {

InputFile::InputFile(const std::string& path)
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // not to wait on a FIFO
  check(descriptor_ >= 0, "could not be opened: {}; check the path", std::strerror(errno));
  struct stat status {};
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    fail("could not be opened: not a regular file; check the path");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  close(descriptor_);
}

void InputFile::read(void* data, std::size_t bytes) {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = pread(descriptor_, next, bytes, static_cast<off_t>(position_));
    if (count < 0 && errno == EINTR) continue;
    check(count >= 0, "could not be read: {}", std::strerror(errno));
    check(count > 0, "could not be read to its end");
    next += count;
    position_ += static_cast<std::uint64_t>(count);
    bytes -= static_cast<std::size_t>(count);
  }
}

Tensor InputFile::read_tensor(const Shape& shape, DType dtype) {
  const Tensor tensor = empty(shape, {.dtype = dtype, .device = cpu});
  const auto bytes = static_cast<std::size_t>(tensor.numel()) * size_of(dtype);
  auto* data = static_cast<unsigned char*>(tensor.raw_data());
  read(data, bytes);
  if (dtype == boolean) {
    const auto* wrong = std::find_if(data, data + bytes, [](unsigned char b) { return b > 1; });
    check(wrong == data + bytes, "element {} is bool, but neither 0 nor 1", wrong - data);
  }
  return tensor;
}

std::shared_ptr<std::byte> InputFile::map() const {
  const std::size_t bytes = size_;
  if (bytes == 0) return nullptr;
  // Memory is taken for the pages that are written to, not beforehand for all that might be.
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor_, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {static_cast<std::byte*>(memory), [bytes](std::byte* mapped) { munmap(mapped, bytes); }};
}

}  // namespace minidl
