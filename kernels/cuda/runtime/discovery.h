// Which GPUs there are and which of them this build can use. Not part of the public interface.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace minidl::kernels::cuda {

/// What the kernels that a device runs were compiled for.
struct DeviceCode {
  int major = 0, minor = 0;
  bool specific = false;  ///< "90a": with the instructions that only this capability has
};

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  DeviceCode code;           ///< not above the capability
  std::string refused;       ///< "" or why minidl cannot use it
};

struct Discovery {
  std::vector<DeviceInfo> devices;
  std::string why_none;  ///< one line if no device can be used, else ""

  /// Devices that can be used, up to the first that cannot: CUDA's numbers stay valid.
  int usable() const;
};

/// Asks the driver. Does not throw: a machine without one is an ordinary machine.
Discovery discover();

/// What discover() said the first time.
const Discovery& discovery();

/// Which of the code for `architectures` (as CMake writes them: "75-real;80;90a-real") a device of
/// that compute capability runs; nothing if none. Machine code runs on the same major version, from
/// its minor version on; PTX (no "-real") on everything that is newer, where there is no machine
/// code; "a" marks code for exactly that capability.
std::optional<DeviceCode> code_for(std::string_view architectures, int major, int minor);

}  // namespace minidl::kernels::cuda
