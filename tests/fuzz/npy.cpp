// Any bytes as a .npy file: refused with an Error, or a tensor whose elements are all there.

#include "minidl/core/serialization/npy.h"

#include <string>

#include "minidl/kernels/common/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using minidl::fuzz::require;
  static const minidl::fuzz::MemoryFile file;
  file.write(data, size);
  try {
    const minidl::Tensor tensor = minidl::load_npy(file.path());
    require(tensor.to_vector().size() == static_cast<std::size_t>(tensor.numel()));
  } catch (const minidl::Error& error) {
    require(std::string(error.what()).find(file.path()) == 0);
  }
  return 0;
}
