// Which GPUs there are and which of them this build can use. Not part of the public interface.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace minidl::kernels::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
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

/// Whether code for `architectures` (as CMake writes them: "75-real;80;90a-real") runs on a device
/// of that compute capability. Machine code runs on the same major version, from its minor version
/// on; PTX (no "-real") on everything that is newer; "a" marks code for exactly that capability.
bool runs_on(std::string_view architectures, int major, int minor);

}  // namespace minidl::kernels::cuda
