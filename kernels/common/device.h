// Where a tensor lives.
#pragma once

#include <string>
#include <string_view>

namespace minidl {

enum class DeviceType { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;

  /// The fastest device of this machine for the process with that rank on it: a GPU where minidl
  /// was built with CUDA and one is seen, otherwise the CPU (why_not_cuda() says why). Never the
  /// emulated device of a build for tests.
  static Device best(int local_rank = 0);

  /// The GPU for the process with that rank on this machine, which shares them with others; the
  /// emulated one, too. Throws Error, saying why, where there is none.
  static Device cuda(int local_rank = 0);

  /// "cpu", "cuda" or "cuda:1"; throws Error on anything else.
  static Device parse(std::string_view text);

  bool is_cpu() const { return type == DeviceType::cpu; }
  bool is_cuda() const { return type == DeviceType::cuda; }
  friend bool operator==(const Device&, const Device&) = default;
};

inline constexpr Device cpu{};

/// One line that says why Device::best() is the CPU; "" if it is a GPU.
std::string why_not_cuda();

/// "cpu" or "cuda:0"
std::string to_string(const Device& device);

/// The same with the name of the GPU: "cuda:0 (NVIDIA H200)".
std::string describe(const Device& device);

/// Throws Error, saying why and what to do, unless tensors can live on `device` in this build and
/// on this machine.
void require_available(const Device& device);

}  // namespace minidl
