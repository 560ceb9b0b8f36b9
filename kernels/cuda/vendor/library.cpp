#include "minidl/kernels/cuda/vendor/library.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <utility>

#include "minidl/kernels/common/check.h"

namespace minidl::kernels::cuda {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> prefix_folders() {
  std::vector<std::string> folders;
  for (const std::string& prefix :
       {environment("CUDA_HOME"), environment("CUDA_PATH"), std::string("/usr/local/cuda")}) {
    if (prefix.empty()) continue;
    for (const char* below : {"lib64", "lib", "targets/x86_64-linux/lib"})
      folders.push_back(prefix + "/" + below);
  }
  return folders;
}

// Asks python3, which takes a moment: the last resort.
std::vector<std::string> wheel_roots() {
  constexpr const char* kQuestion =
      "python3 -c 'import nvidia; print(*nvidia.__path__, sep=\":\")' 2>/dev/null";
  std::string answer;
  if (FILE* pipe = popen(kQuestion, "r")) {
    std::array<char, 512> buffer;
    while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) answer += buffer.data();
    pclose(pipe);
  }
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  return split(answer, ':');
}

}  // namespace

struct VendorLibrary::State {
  VendorLibraryNames names;
  std::mutex mutex;
  bool tried = false;
  void* handle = nullptr;
  std::string path;
  std::string problems;

  // True once loaded. What went wrong is remembered for files that exist; what does not exist is
  // only listed.
  bool load(const std::string& file) {
    handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) {
      path = file;
      return true;
    }
    const char* error = dlerror();
    std::error_code ignored;
    const bool exists = fs::exists(file, ignored);
    problems += (problems.empty() ? "" : ", ") + file;
    if (exists && error != nullptr) problems += fmt::format(" (it is there, but: {})", error);
    return false;
  }

  bool load_from(const std::vector<std::string>& folders) {
    for (const std::string& folder : folders)
      if (load(folder + "/" + names.file)) return true;
    return false;
  }

  void search() {
    tried = true;
    if (load_from(split(environment("MINIDL_CUDA_LIBRARY_PATH"), ':'))) return;
    if (load(names.file) || load_from(prefix_folders())) return;
    if (load_from({"/usr/lib/x86_64-linux-gnu", "/usr/lib/cuda/lib64"})) return;
    std::vector<std::string> wheels;
    for (const std::string& root : wheel_roots())
      for (const std::string& package : names.packages)
        wheels.push_back(root + "/" + package + "/lib");
    if (wheels.empty()) problems += ", no nvidia package known to python3";
    load_from(wheels);
  }

  std::string why_not() const {
    if (handle != nullptr) return "";
    return fmt::format(
        "{} was not found: tried {}; install {}, or set MINIDL_CUDA_LIBRARY_PATH to its folder",
        names.name, problems, names.install);
  }
};

VendorLibrary::VendorLibrary(VendorLibraryNames names) : state_(new State) {
  state_->names = std::move(names);
}

// The library stays: functions of it may be known elsewhere.
VendorLibrary::~VendorLibrary() {
  delete state_;
}

VendorLibrary::State& VendorLibrary::loaded() {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->tried) state_->search();
  return *state_;
}

bool VendorLibrary::available() {
  return loaded().handle != nullptr;
}

std::string VendorLibrary::why_not() {
  return loaded().why_not();
}

std::string VendorLibrary::path() {
  return loaded().path;
}

void* VendorLibrary::address(const char* symbol) {
  State& state = loaded();
  check(state.handle != nullptr, "{}: {}", symbol, state.why_not());
  void* found = dlsym(state.handle, symbol);
  check(found != nullptr, "{}: {} has no such function: a newer {} is needed", symbol, state.path,
        state.names.name);
  return found;
}

VendorLibrary& cublas_lt() {
  static auto* library =
      new VendorLibrary({"cuBLASLt",
                         fmt::format("libcublasLt.so.{}", CUDART_VERSION / 1000),
                         {fmt::format("cu{}", CUDART_VERSION / 1000), "cublas"},
                         "the CUDA toolkit's libcublas, or pip's nvidia-cublas"});
  return *library;
}

VendorLibrary& cudnn() {
  static auto* library =
      new VendorLibrary({"cuDNN", "libcudnn.so.9", {"cudnn"}, "libcudnn9, or pip's nvidia-cudnn"});
  return *library;
}

}  // namespace minidl::kernels::cuda
