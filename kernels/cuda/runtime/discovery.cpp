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
#ifdef MINIDL_EMULATED
  info.code = {info.major, info.minor, true};
#else
  const std::optional<DeviceCode> code =
      code_for(MINIDL_CUDA_ARCHITECTURES, info.major, info.minor);
  if (code) {
    info.code = *code;
  } else {
    // 9.0 has instructions, those of wgmma among them, that only code for 90a may use.
    const bool hopper = info.major == 9 && info.minor == 0;
    info.refused = fmt::format(
        "{} has compute capability {}.{}, but minidl was built for {}: build it with "
        "-DCMAKE_CUDA_ARCHITECTURES={}{}{}",
        info.name, info.major, info.minor, MINIDL_CUDA_ARCHITECTURES, info.major, info.minor,
        hopper ? "a" : "");
  }
#endif
  return info;
}

}  // namespace

std::optional<DeviceCode> code_for(std::string_view architectures, int major, int minor) {
  const int device = 10 * major + minor;
  // The better kind of code comes later: PTX, machine code, code for exactly this device.
  enum Kind { none, ptx, machine, exact };
  Kind best_kind = none;
  int best = 0;
  const auto offer = [&](Kind kind, int number) {
    if (number > device || kind < best_kind || (kind == best_kind && number < best)) return;
    best_kind = kind;
    best = number;
  };
  while (!architectures.empty()) {
    const std::size_t end = std::min(architectures.find(';'), architectures.size());
    const std::string_view entry = architectures.substr(0, end);
    architectures.remove_prefix(std::min(end + 1, architectures.size()));

    int number = 0;
    const auto [rest, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
    if (error != std::errc()) continue;
    const std::string_view kind = entry.substr(static_cast<std::size_t>(rest - entry.data()));
    if (kind.substr(0, 1) == "a") {
      if (number == device) offer(exact, number);
      continue;
    }
    if (kind.find("-real") == std::string_view::npos) offer(ptx, number);
    if (kind.find("-virtual") == std::string_view::npos && number / 10 == major) {
      offer(machine, number);
    }
  }
  if (best_kind == none) return std::nullopt;
  return DeviceCode{best / 10, best % 10, best_kind == exact};
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
  if (index >= device_count()) return;
  int current = -1;  // asked each time: other libraries in the process change it, too
  check_cuda(cudaGetDevice(&current), "cudaGetDevice");
  if (current != index) check_cuda(cudaSetDevice(index), "cudaSetDevice({})", index);
}

}  // namespace minidl::kernels::cuda
