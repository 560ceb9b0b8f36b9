// Dataset files for tests: made ones, damaged ones, and the real ones where they are at hand.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <zlib.h>

#include "minidl/kernels/common/error.h"
#include "tests/folder.h"

namespace minidl::test {

using Bytes = std::vector<std::uint8_t>;

/// A folder to write dataset files into.
class TempFolder : public Folder {
 public:
  std::string file(const std::string& name) const { return *this / name; }
  void write(const std::string& name, const Bytes& bytes) const {
    write_bytes(file(name), std::string(bytes.begin(), bytes.end()));
  }
  void remove(const std::string& name) const { std::filesystem::remove(file(name)); }
};

inline Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, static_cast<uLong>(bytes.size())));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

inline Bytes big_endian(std::initializer_list<std::uint32_t> values) {
  Bytes bytes;
  for (const std::uint32_t value : values) {
    for (const int shift : {24, 16, 8, 0}) {
      bytes.push_back(static_cast<std::uint8_t>((value >> shift) & 0xff));
    }
  }
  return bytes;
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The first `size` bytes.
inline Bytes cut(Bytes bytes, std::size_t size) {
  bytes.resize(size);
  return bytes;
}

/// The message of the Error that `f` throws; empty if it throws none.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// A folder of real data: in $MINIDL_DATA, or in shared/data beside the source tree. Says so where
/// there is none.
inline std::optional<std::string> real_data(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> places;
  if (const char* set = std::getenv("MINIDL_DATA")) places.emplace_back(set);
  for (fs::path above = fs::absolute(__FILE__).parent_path(); above != above.root_path();
       above = above.parent_path()) {
    places.push_back(above / "shared" / "data");
  }
  for (const fs::path& place : places) {
    if (fs::is_directory(place / folder)) return (place / folder).string();
  }
  std::cout << "SKIPPED: there is no " << folder << " in $MINIDL_DATA or ../shared/data\n";
  return {};
}

}  // namespace minidl::test
