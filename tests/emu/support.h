// What the engine's tests share: launching, schedules, random data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "engine.h"
#include "minidl/kernels/cuda/launch.cuh"

namespace emu_test {

using minidl::kernels::cuda::launch;
using minidl::kernels::cuda::LaunchConfig;

/// One block (or `blocks`) of `threads`.
inline LaunchConfig blocks(const char* name, unsigned blocks, unsigned threads,
                           std::size_t shared_bytes = 0) {
  return {name, dim3(blocks), dim3(threads), shared_bytes};
}

/// Launches a kernel whose name does not matter.
template <class... P, class... A>
void just(unsigned n, unsigned threads, void (*kernel)(P...), A... arguments) {
  launch(blocks("kernel", n, threads), kernel, arguments...);
}

/// How a kernel of bugs/ reports that its output is wrong.
[[noreturn]] inline void wrong_result() {
  throw emu::Error("", "wrong result");
}

/// The message of the emu::Error that f() throws; "" if it throws none.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const emu::Error& error) {
    return error.what();
  }
  return "";
}

/// Changes emu::options() while it lives.
class WithOptions {
 public:
  explicit WithOptions(const emu::Options& options) : before_(emu::options()) {
    emu::options() = options;
  }
  ~WithOptions() { emu::options() = before_; }
  WithOptions(const WithOptions&) = delete;
  WithOptions& operator=(const WithOptions&) = delete;

 private:
  emu::Options before_;
};

/// Random data; the same in all cases of a run, fresh in the next unless MINIDL_TEST_SEED repeats
/// it.
std::mt19937 random_engine();
std::string seed_text();

template <class T>
std::vector<T> random_numbers(std::size_t n, std::mt19937& engine, float low = -1, float high = 1) {
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<T> numbers(n);
  for (T& x : numbers) x = static_cast<T>(uniform(engine));
  return numbers;
}

/// Integers from -8 to 8, whose products and sums are exact in every float type.
template <class T>
std::vector<T> small_integers(std::size_t n, std::mt19937& engine) {
  std::uniform_int_distribution<int> uniform(-8, 8);
  std::vector<T> numbers(n);
  for (T& x : numbers) x = static_cast<T>(static_cast<float>(uniform(engine)));
  return numbers;
}

std::vector<std::uint32_t> random_words(std::size_t n, std::mt19937& engine);

/// Where byte `linear` of a tile comes to lie under a swizzle of that many bytes: in rows of 128
/// bytes, the 16-byte chunk's number is XORed with that of the row (128 B), of half of it (64 B),
/// of a quarter (32 B).
inline std::uint32_t swizzled_place(std::uint32_t linear, unsigned swizzle) {
  const std::uint32_t row = linear / 128, chunk = linear / 16 % 8;
  const std::uint32_t mask = swizzle == 128 ? 7 : swizzle == 64 ? 3 : swizzle == 32 ? 1 : 0;
  return row * 128 + (chunk ^ (row & mask)) * 16 + linear % 16;
}

}  // namespace emu_test
