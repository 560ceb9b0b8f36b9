// Broken files: readers must take them for what they are, or refuse them with an Error.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <random>
#include <string>

#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/folder.h"
#include "tests/random_views.h"

namespace minidl::test {

/// `bytes` with one to three small changes: bits flipped, bytes lost or doubled, digits and
/// punctuation in other places, longer numbers, the end cut off or something behind it.
inline std::string mutate(std::string bytes, std::mt19937& random) {
  const auto below = [&random](std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
  };
  const auto place = [&] { return below(bytes.size() + 1); };
  for (std::size_t count = 1 + below(3); count > 0; --count) {
    if (bytes.empty()) return bytes;
    // Most of what can go wrong is in the header.
    const std::size_t at =
        below(4) == 0 ? below(bytes.size()) : below(std::min<std::size_t>(bytes.size(), 200));
    switch (below(9)) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 1: bytes[at] = static_cast<char>(below(256)); break;
      case 2: bytes[at] = "0123456789{}[]()\"',:-<>|"[below(24)]; break;
      case 3: bytes.erase(at, 1 + below(4)); break;
      case 4: bytes.resize(place()); break;
      case 5: bytes.append(1 + below(100), static_cast<char>(below(256))); break;
      case 6: bytes.insert(place(), bytes.substr(at, below(9))); break;
      case 7: bytes.insert(at, std::to_string(random() >> below(32))); break;
      default:  // a number becomes a longer one
        for (std::size_t i = at; i < bytes.size(); ++i) {
          if (bytes[i] < '0' || bytes[i] > '9') continue;
          bytes.insert(i, std::string(1 + below(20), static_cast<char>('0' + below(10))));
          break;
        }
    }
  }
  return bytes;
}

/// A tensor that may be looked at: bools are 0 or 1, and there is memory where elements are.
inline void check_readable(const Tensor& tensor) {
  if (tensor.to_vector().size() != static_cast<std::size_t>(tensor.numel())) CHECK(false);
  if (tensor.dtype() != boolean) return;
  const Tensor flags = tensor.to(cpu).contiguous();
  const auto* bytes = static_cast<const unsigned char*>(flags.raw_data());
  for (std::int64_t i = 0; i < flags.numel(); ++i) {
    if (bytes[i] > 1) CHECK(bytes[i] <= 1);
  }
}

/// Writes `count` mutations of `good`, one after the other, to `path` and calls `load`, which may
/// throw Error and nothing else. Some must load and some must not, or nothing was tried.
inline void check_mutations(const std::string& good, const std::string& path, int count,
                            const std::function<void()>& load) {
  std::mt19937 random(test_seed());
  int loaded = 0;
  for (int i = 0; i < count; ++i) {
    std::filesystem::remove(path);  // some file systems flush what is overwritten
    write_bytes(path, mutate(good, random));
    try {
      load();
      ++loaded;
    } catch (const Error& error) {
      if (std::string(error.what()).find(path) != 0) {
        INFO("MINIDL_TEST_SEED=" << test_seed() << ", mutation " << i << ": " << error.what());
        CHECK(false);
      }
    } catch (const std::exception& error) {
      INFO("MINIDL_TEST_SEED=" << test_seed() << ", mutation " << i << ": " << error.what());
      CHECK(false);
    }
  }
  INFO("MINIDL_TEST_SEED=" << test_seed());
  CHECK(loaded > 0);
  CHECK(loaded < count);
}

}  // namespace minidl::test
