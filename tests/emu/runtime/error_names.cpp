// cudaGetErrorName and cudaGetErrorString.

#include <cuda_runtime_api.h>

#include <string>

#include "report.h"

namespace {

struct Description {
  cudaError_t error;
  const char* name;
  const char* text;
};

#define DESCRIBE(error, text) \
  Description {               \
    error, #error, text       \
  }

// Those that the shim returns and those that minidl treats in a way of their own.
const Description kDescriptions[] = {
    DESCRIBE(cudaSuccess, "no error"),
    DESCRIBE(cudaErrorInvalidValue, "invalid argument"),
    DESCRIBE(cudaErrorMemoryAllocation, "out of memory"),
    DESCRIBE(cudaErrorInitializationError, "initialization error"),
    DESCRIBE(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    DESCRIBE(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    DESCRIBE(cudaErrorInsufficientDriver,
             "CUDA driver version is insufficient for CUDA runtime version"),
    DESCRIBE(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    DESCRIBE(cudaErrorInvalidDevice, "invalid device ordinal"),
    DESCRIBE(cudaErrorInvalidDeviceFunction, "invalid device function"),
    DESCRIBE(cudaErrorNoKernelImageForDevice,
             "no kernel image is available for execution on the device"),
    DESCRIBE(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    DESCRIBE(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    DESCRIBE(cudaErrorSymbolNotFound, "named symbol not found"),
    DESCRIBE(cudaErrorNotReady, "device not ready"),
    DESCRIBE(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    DESCRIBE(cudaErrorHostMemoryAlreadyRegistered,
             "part or all of the requested memory range is already mapped"),
    DESCRIBE(cudaErrorHostMemoryNotRegistered,
             "pointer does not correspond to a registered memory region"),
    DESCRIBE(cudaErrorLaunchFailure, "unspecified launch failure"),
    DESCRIBE(cudaErrorNotPermitted, "operation not permitted"),
    DESCRIBE(cudaErrorNotSupported, "operation not supported"),
    DESCRIBE(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    DESCRIBE(cudaErrorStreamCaptureInvalidated,
             "operation failed due to a previous error during capture"),
    DESCRIBE(cudaErrorStreamCaptureMerge,
             "operation would result in a merge of separate capture sequences"),
    DESCRIBE(cudaErrorStreamCaptureUnmatched,
             "capture was not ended in the same stream as it began"),
    DESCRIBE(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    DESCRIBE(cudaErrorStreamCaptureIsolation,
             "dependency created on uncaptured work in another stream"),
    DESCRIBE(cudaErrorStreamCaptureImplicit,
             "operation would make the legacy stream depend on a capturing blocking stream"),
    DESCRIBE(cudaErrorCapturedEvent,
             "operation not permitted on an event last recorded in a capturing stream"),
    DESCRIBE(cudaErrorStreamCaptureWrongThread,
             "attempt to terminate a thread-local capture sequence from another thread"),
    DESCRIBE(cudaErrorUnknown, "unknown error"),
};

const Description* find(cudaError_t error) {
  for (const Description& description : kDescriptions)
    if (description.error == error) return &description;
  return nullptr;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const Description* description = find(error);
  return description == nullptr ? "unrecognized error code" : description->name;
}

// An error that has ended the device comes with what the emulator found, since a program shows its
// user nothing but this string.
const char* cudaGetErrorString(cudaError_t error) {
  const Description* description = find(error);
  if (description == nullptr) return "unrecognized error code";
  if (error == cudaSuccess || error != emu::runtime::sticky_error()) return description->text;
  thread_local std::string text;
  text = std::string(description->text) + ": " + emu::runtime::last_report();
  return text.c_str();
}
