#include "minidl/kernels/cuda/runtime/discovery.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/cuda/runtime/check.h"

namespace minidl::kernels::cuda {
namespace {

// What kernels were compiled for; emulated ones run as whatever device there is.
#ifdef MINIDL_EMULATED
constexpr std::string_view kArchitectures;
#else
constexpr std::string_view kArchitectures = MINIDL_CUDA_ARCHITECTURES;
#endif

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string explain(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver: {
      int driver = 0;
      cudaDriverGetVersion(&driver);
      if (driver == 0) return "no NVIDIA driver is installed";
      return fmt::format("the NVIDIA driver supports CUDA {}, but minidl was built with {}",
                         version_text(driver), version_text(CUDART_VERSION));
    }
    case cudaErrorNoDevice: {
      const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
      return visible == nullptr
                 ? "the NVIDIA driver sees no GPU"
                 : fmt::format("the NVIDIA driver sees no GPU with CUDA_VISIBLE_DEVICES={}",
                               visible);
    }
    default:
      return fmt::format("cudaGetDeviceCount: {} ({})", cudaGetErrorString(error),
                         cudaGetErrorName(error));
  }
}

DeviceInfo describe(int index) {
  DeviceInfo info;
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) {
    cudaGetLastError();
    info.refused = fmt::format("cudaGetDeviceProperties: {} ({})", cudaGetErrorString(error),
                               cudaGetErrorName(error));
    return info;
  }
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  if (!kArchitectures.empty() && !runs_on(kArchitectures, info.major, info.minor)) {
    info.refused = fmt::format(
        "{} has compute capability {}.{}, but minidl was built for {}: build it with "
        "-DCMAKE_CUDA_ARCHITECTURES={}{}",
        info.name, info.major, info.minor, kArchitectures, info.major, info.minor);
  }
  return info;
}

}  // namespace

bool runs_on(std::string_view architectures, int major, int minor) {
  while (!architectures.empty()) {
    const std::size_t end = std::min(architectures.find(';'), architectures.size());
    const std::string_view entry = architectures.substr(0, end);
    architectures.remove_prefix(std::min(end + 1, architectures.size()));

    int number = 0;
    const auto [rest, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
    if (error != std::errc()) continue;
    const std::string_view kind = entry.substr(static_cast<std::size_t>(rest - entry.data()));
    const bool exact = kind.substr(0, 1) == "a";
    const bool machine_code = kind.find("-virtual") == std::string_view::npos;
    const bool ptx = kind.find("-real") == std::string_view::npos;
    const int device = 10 * major + minor;
    if (exact && number == device) return true;
    if (exact) continue;
    if (machine_code && number / 10 == major && number <= device) return true;
    if (ptx && number <= device) return true;
  }
  return false;
}

int Discovery::usable() const {
  int count = 0;
  for (const DeviceInfo& device : devices) {
    if (!device.refused.empty()) break;
    ++count;
  }
  return count;
}

Discovery discover() {
  Discovery found;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    found.why_none = explain(error);
    return found;
  }
  for (int i = 0; i < count; ++i) found.devices.push_back(describe(i));
  if (found.devices.empty()) {
    found.why_none = explain(cudaErrorNoDevice);
  } else if (found.usable() == 0) {
    found.why_none = found.devices.front().refused;
  }
  return found;
}

const Discovery& discovery() {
  static const auto* found = new Discovery(discover());  // leaked: asked at exit, too
  return *found;
}

int device_count() {
  return discovery().usable();
}

std::string why_no_device() {
  return discovery().why_none;
}

bool is_emulated() {
#ifdef MINIDL_EMULATED
  return true;
#else
  return false;
#endif
}

void require_device(int index) {
  const Discovery& found = discovery();
  check(found.why_none.empty(), "device cuda:{} cannot be used: {}; use the CPU (--device cpu)",
        index, found.why_none);
  const int count = static_cast<int>(found.devices.size());
  check(index < count, "there is no device cuda:{}: this machine has {} (cuda:0 to cuda:{})", index,
        count, count - 1);
  const std::string& refused = found.devices[static_cast<std::size_t>(index)].refused;
  check(refused.empty(), "device cuda:{} cannot be used: {}", index, refused);
}

std::string device_name(int index) {
  require_device(index);
  return discovery().devices[static_cast<std::size_t>(index)].name;
}

void make_current(int index) {
  thread_local int current = -1;
  if (index == current || index >= device_count()) return;
  check_cuda(cudaSetDevice(index), "cudaSetDevice({})", index);
  current = index;
}

}  // namespace minidl::kernels::cuda
