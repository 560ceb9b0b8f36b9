#include "minidl/kernels/common/transfer.h"

#include <cstring>

#include "minidl/kernels/common/cuda_support.h"

namespace minidl::kernels {

void transfer(void* to, const Device& to_device, const void* from, const Device& from_device,
              std::size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  if (to_device.is_cpu() && from_device.is_cpu()) {
    std::memcpy(to, from, bytes);
  } else {
    cuda::transfer(to, to_device, from, from_device, bytes, stream);
  }
}

}  // namespace minidl::kernels
