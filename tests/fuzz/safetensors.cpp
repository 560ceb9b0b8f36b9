// Any bytes as a safetensors file: refused with an Error, or read alike by all three ways.

#include "minidl/core/serialization/safetensors.h"

#include <string>

#include "minidl/kernels/common/error.h"
#include "tests/fuzz/memory_file.h"

namespace {

using minidl::fuzz::require;

// Why it is refused, or "".
template <class Read>
std::string refusal(const Read& read) {
  try {
    read();
  } catch (const minidl::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const minidl::fuzz::MemoryFile file;
  file.write(data, size);
  const std::string path = file.path();
  const std::string mapping = refusal([&] { minidl::load_safetensors(path); });
  const std::string reading = refusal([&] { minidl::load_safetensors(path, {.map = false}); });
  const std::string inspecting = refusal([&] { minidl::inspect_safetensors(path); });
  require(mapping == reading);
  require(inspecting.empty() || !mapping.empty());
  if (!mapping.empty()) {
    require(mapping.find(path) == 0);
    return 0;
  }
  const minidl::StateDict mapped = minidl::load_safetensors(path).tensors;
  const minidl::StateDict inspected = minidl::inspect_safetensors(path).tensors;
  require(mapped.size() == inspected.size());
  for (std::size_t i = 0; i < mapped.size(); ++i) {
    const minidl::Tensor& tensor = mapped[i].tensor;
    require(mapped[i].name == inspected[i].name);
    require(tensor.shape() == inspected[i].tensor.shape());
    require(tensor.to_vector().size() == static_cast<std::size_t>(tensor.numel()));
  }
  return 0;
}
