// Safetensors files made by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace minidl::test {

/// A header length, then the header and the data.
inline std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + rest;
}

}  // namespace minidl::test
