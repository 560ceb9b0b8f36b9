#include "minidl/nn/data/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <zlib.h>

#include "minidl/kernels/common/check.h"

namespace minidl::data {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr const char* kRemedy = "download or copy it again";

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FileHandle = std::unique_ptr<std::FILE, CloseFile>;

// Fewer than `bytes` only at the end of the file.
std::size_t read_plain(std::FILE* file, const std::string& path, void* data, std::size_t bytes) {
  const std::size_t count = std::fread(data, 1, bytes, file);
  check(count == bytes || std::ferror(file) == 0, "{}: could not be read: {}", path,
        std::strerror(errno));
  return count;
}

}  // namespace

// Where the bytes come from.
class InputFile::Source {
 public:
  virtual ~Source() = default;
  /// Fewer than `bytes` only at the end.
  virtual std::size_t read(std::uint8_t* data, std::size_t bytes) = 0;
};

class InputFile::PlainSource final : public Source {
 public:
  PlainSource(FileHandle file, const std::string& path) : file_(std::move(file)), path_(path) {}

  std::size_t read(std::uint8_t* data, std::size_t bytes) override {
    return read_plain(file_.get(), path_, data, bytes);
  }

 private:
  FileHandle file_;
  std::string path_;
};

// One gzip member. zlib's own gzread takes garbage behind it for the end of the file.
class InputFile::GzipSource final : public Source {
 public:
  GzipSource(FileHandle file, const std::string& path)
      : file_(std::move(file)), path_(path), packed_(kChunk) {
    constexpr int kGzipOnly = 16;
    check(inflateInit2(&stream_, MAX_WBITS + kGzipOnly) == Z_OK, "{}: zlib could not be started",
          path_);
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  std::size_t read(std::uint8_t* data, std::size_t bytes) override {
    std::size_t done = 0;
    while (done < bytes && !finished_) {
      if (stream_.avail_in == 0) refill();
      const std::size_t wanted = std::min(bytes - done, kChunk);
      stream_.next_out = data + done;
      stream_.avail_out = static_cast<uInt>(wanted);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      done += wanted - stream_.avail_out;
      if (status == Z_STREAM_END) {
        finish();
      } else {
        check(status == Z_OK || status == Z_BUF_ERROR, "{}: the gzip data is corrupted ({}); {}",
              path_, stream_.msg == nullptr ? zError(status) : stream_.msg, kRemedy);
      }
    }
    return done;
  }

 private:
  void refill() {
    const std::size_t count = read_plain(file_.get(), path_, packed_.data(), packed_.size());
    check(count > 0, "{}: truncated: the gzip data ends too early; {}", path_, kRemedy);
    stream_.next_in = packed_.data();
    stream_.avail_in = static_cast<uInt>(count);
  }

  void finish() {
    finished_ = true;
    std::uint8_t next = 0;
    check(stream_.avail_in == 0 && read_plain(file_.get(), path_, &next, 1) == 0,
          "{}: trailing bytes behind the gzip data; {}", path_, kRemedy);
  }

  FileHandle file_;
  std::string path_;
  std::vector<std::uint8_t> packed_;
  z_stream stream_{};
  bool finished_ = false;
};

InputFile::InputFile(const std::string& path) : path_(path) {
  FileHandle file(std::fopen(path.c_str(), "rb"));
  check(file != nullptr, "{}: could not be opened: {}; check the path and its permissions", path,
        std::strerror(errno));
  std::uint8_t start[2] = {};
  const std::size_t count = read_plain(file.get(), path, start, sizeof start);
  check(count > 0, "{}: the file is empty; {}", path, kRemedy);
  std::rewind(file.get());
  if (start[0] == 0x1f && start[1] == 0x8b) {
    source_ = std::make_unique<GzipSource>(std::move(file), path);
  } else {
    source_ = std::make_unique<PlainSource>(std::move(file), path);
  }
}

InputFile::~InputFile() = default;

std::vector<std::uint8_t> InputFile::read(std::size_t bytes, const char* what) {
  std::vector<std::uint8_t> data;
  while (data.size() < bytes) {
    const std::size_t before = data.size();
    const std::size_t wanted = std::min(bytes - before, std::max(before, kChunk));
    data.resize(before + wanted);
    const std::size_t count = source_->read(data.data() + before, wanted);
    check(count == wanted, "{}: truncated: {} should take {} bytes, but only {} are there; {}",
          path_, what, bytes, before + count, kRemedy);
  }
  return data;
}

void InputFile::expect_end() {
  std::uint8_t next = 0;
  check(source_->read(&next, 1) == 0,
        "{}: trailing bytes: the file goes on after its last record; {}", path_, kRemedy);
}

void require_folder(const std::string& folder, const std::string& wanted) {
  std::error_code error;
  check(std::filesystem::is_directory(folder, error),
        "{}: there is no such folder; name the one that holds {}", folder.empty() ? "\"\"" : folder,
        wanted);
}

}  // namespace minidl::data
