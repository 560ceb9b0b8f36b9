// Another default device for a while.
#pragma once

#include "minidl/core/default_device.h"

namespace minidl::test {

class DefaultDeviceGuard {
 public:
  explicit DefaultDeviceGuard(const Device& device) { set_default_device(device); }
  ~DefaultDeviceGuard() { set_default_device(before_); }
  DefaultDeviceGuard(const DefaultDeviceGuard&) = delete;
  DefaultDeviceGuard& operator=(const DefaultDeviceGuard&) = delete;

 private:
  Device before_ = default_device();
};

}  // namespace minidl::test
