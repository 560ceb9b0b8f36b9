// cuBLASLt and cuDNN, which are loaded when they are first used: linked, they would cost every
// process its start-up time, and machines without them could not start at all. Not part of the
// public interface.
#pragma once

#include <string>
#include <vector>

namespace minidl::kernels::cuda {

/// What to look for.
struct VendorLibraryNames {
  std::string name;                   ///< for messages: "cuBLASLt"
  std::string file;                   ///< with its major version: "libcublasLt.so.13"
  std::vector<std::string> packages;  ///< folders of pip's nvidia package: "cu13", "cublas"
  std::string install;                ///< what to install: "libcublas-13-0, or pip's nvidia-cublas"
};

/// A shared library that stays loaded once it is. Thread-safe.
///
/// It is looked for, first match first, in
///   1. the folders of MINIDL_CUDA_LIBRARY_PATH (separated by colons),
///   2. where the system's loader looks (LD_LIBRARY_PATH, the programs' own path, ldconfig),
///   3. CUDA_HOME, CUDA_PATH and /usr/local/cuda, in lib64, lib and targets/x86_64-linux/lib,
///   4. Debian's /usr/lib/x86_64-linux-gnu and /usr/lib/cuda,
///   5. pip's wheels, in the places that python3 names.
class VendorLibrary {
 public:
  explicit VendorLibrary(VendorLibraryNames names);
  ~VendorLibrary();
  VendorLibrary(const VendorLibrary&) = delete;
  VendorLibrary& operator=(const VendorLibrary&) = delete;

  /// Loads it. False, and why_not() then says why, if it is not there.
  bool available();

  /// One line with everything that was tried; "" if it is loaded.
  std::string why_not();

  /// The file that was loaded.
  std::string path();

  /// A function of the library, loaded if need be. Throws Error that names what was tried, or the
  /// version that lacks the function.
  template <class Function>
  Function* get(const char* symbol) {
    return reinterpret_cast<Function*>(address(symbol));
  }

 private:
  struct State;
  State& loaded();
  void* address(const char* symbol);

  State* state_;
};

/// The version that fits CUDA's headers, leaked.
VendorLibrary& cublas_lt();
VendorLibrary& cudnn();

}  // namespace minidl::kernels::cuda
