#include "minidl/kernels/common/device.h"

#include <charconv>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"

namespace minidl {

Device Device::best(int local_rank) {
  const bool has_gpu = !kernels::cuda::is_emulated() && kernels::cuda::device_count() > 0;
  return has_gpu ? cuda(local_rank) : cpu;
}

Device Device::cuda(int local_rank) {
  const int gpus = kernels::cuda::device_count();
  if (gpus == 0) kernels::cuda::require_device(0);  // throws
  return {DeviceType::cuda, local_rank % gpus};
}

Device Device::parse(std::string_view text) {
  if (text == "cpu") return cpu;
  if (text == "cuda") return {DeviceType::cuda, 0};
  constexpr std::string_view prefix = "cuda:";
  if (text.substr(0, prefix.size()) == prefix) {
    int index = -1;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + prefix.size(), end, index);
    if (error == std::errc() && rest == end && index >= 0) return {DeviceType::cuda, index};
  }
  fail("unknown device '{}': write cpu, cuda or cuda:N", text);
}

std::string why_not_cuda() {
  if (kernels::cuda::is_emulated()) return "CUDA is emulated on the CPU, which is for tests only";
  return kernels::cuda::why_no_device();
}

std::string to_string(const Device& device) {
  return device.is_cpu() ? "cpu" : fmt::format("cuda:{}", device.index);
}

std::string describe(const Device& device) {
  if (device.is_cpu()) return to_string(device);
  return fmt::format("{} ({})", to_string(device), kernels::cuda::device_name(device.index));
}

void require_available(const Device& device) {
  if (device.is_cuda()) kernels::cuda::require_device(device.index);
}

}  // namespace minidl
