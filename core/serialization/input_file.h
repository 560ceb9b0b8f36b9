// A file that is read, by somebody who vouches for nothing in it. Not part of the public interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "minidl/core/tensor.h"

namespace minidl {

/// Reads from the beginning on. Errors do not name the file: the reader of the format does.
class InputFile {
 public:
  /// Throws Error unless `path` is a regular file that may be read.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t position() const { return position_; }
  /// Bytes behind the position; what the file had when it was opened.
  std::uint64_t remaining() const { return size_ - position_; }

  /// The next bytes. Throws Error where there are not as many, or they cannot be read.
  void read(void* data, std::size_t bytes);
  void skip(std::uint64_t bytes) { position_ += bytes; }

  /// A row-major tensor on the CPU, its elements the next bytes. Throws Error where they cannot be
  /// read, or where a bool is neither 0 nor 1, which no program may look at.
  Tensor read_tensor(const Shape& shape, DType dtype);

  /// The whole file as memory of this process (mmap): pages are read when they are first touched,
  /// and copied when they are first written to; the file never changes. Null where that cannot be.
  std::shared_ptr<std::byte> map() const;

 private:
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace minidl
