// The driver's functions that minidl asks for by name, so that nothing links against libcuda.

#include <cstring>

#include "../tensor_map.h"
#include "calls.h"

using namespace emu::runtime;  // NOLINT: this file defines functions of the global namespace

namespace {

void* driver_function(const char* symbol) {
  if (std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0)
    return reinterpret_cast<void*>(emu::encode_tiled);
  if (std::strcmp(symbol, "cuTensorMapEncodeIm2col") == 0)
    return reinterpret_cast<void*>(emu::encode_im2col);
  return nullptr;
}

cudaError_t find(const char* symbol, void** function, cudaDriverEntryPointQueryResult* result) {
  if (symbol == nullptr || function == nullptr) return cudaErrorInvalidValue;
  *function = driver_function(symbol);
  if (result != nullptr) {
    *result =
        *function == nullptr ? cudaDriverEntryPointSymbolNotFound : cudaDriverEntryPointSuccess;
  }
  return cudaSuccess;
}

}  // namespace

#if CUDART_VERSION >= 12050
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPointByVersion", [&] { return find(symbol, function, result); });
}
#endif

#if CUDART_VERSION < 13000
cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long,
                                    cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPoint", [&] { return find(symbol, function, result); });
}
#endif
