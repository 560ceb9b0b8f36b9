#include "minidl/core/default_device.h"

#include <atomic>

namespace minidl {
namespace {

std::atomic<Device> current{cpu};

}  // namespace

Device default_device() {
  return current;
}

void set_default_device(const Device& device) {
  require_available(device);
  current = device;
}

}  // namespace minidl
