// Device memory, launches and seeded data for the cases.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "case.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/launch.cuh"

namespace minidl::conformance {

inline void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw Error(std::string(call) + ": " + cudaGetErrorString(status));
}

/// Device memory, filled with a byte or with data.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count, int fill = 0xff) : count_(count) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()), "cudaMalloc");
    check(cudaMemset(data_, fill, bytes()), "cudaMemset");
  }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
    check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* get() const { return data_; }

  /// Waits for the device and returns the contents as words.
  Words words() const {
    check(cudaDeviceSynchronize(), "the kernel");
    Words words((bytes() + 3) / 4);
    check(cudaMemcpy(words.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return words;
  }

 private:
  std::size_t bytes() const { return count_ * sizeof(T); }

  T* data_ = nullptr;
  std::size_t count_;
};

inline kernels::cuda::LaunchConfig blocks(const char* name, unsigned blocks, unsigned threads,
                                          std::size_t shared_bytes = 0, unsigned cluster = 1) {
  kernels::cuda::LaunchConfig config{
      .name = name, .grid = dim3(blocks), .block = dim3(threads), .shared_bytes = shared_bytes};
  config.cluster = dim3(cluster);
  return config;
}

/// The same numbers with every compiler: only the engine is used, no distribution.
inline Words noise(std::size_t n, std::uint32_t seed) {
  std::mt19937 engine(seed);
  Words words(n);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(engine());
  return words;
}

/// Integers from -8 to 8, whose sums of products are exact, or numbers in [-1, 1), of integers any.
template <class T>
std::vector<T> numbers(std::size_t n, std::uint32_t seed, bool whole) {
  const Words words = noise(n, seed);
  std::vector<T> values;
  for (const std::uint32_t word : words) {
    if constexpr (std::is_integral_v<T>) {
      values.push_back(static_cast<T>(whole ? word % 17 - 8 : word));
    } else {
      const float real = static_cast<float>(static_cast<int>(word >> 8) - (1 << 23)) / (1 << 23);
      values.push_back(static_cast<T>(whole ? static_cast<float>(word % 17) - 8.0F : real));
    }
  }
  return values;
}

template <class T>
std::vector<std::uint32_t> as_words(const std::vector<T>& values) {
  Words words((values.size() * sizeof(T) + 3) / 4);
  std::memcpy(words.data(), values.data(), values.size() * sizeof(T));
  return words;
}

/// How far apart sums of at most 128 products of numbers in [-1, 1) may be: the tensor cores round
/// and add as they like.
inline constexpr double kProductTolerance = 1e-4;

}  // namespace minidl::conformance
