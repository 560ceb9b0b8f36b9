// Mistakes that the shim has noticed, and the error state of the device.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace emu::runtime {

/// A mistake in work that was queued: it ends the device, and every later call returns `error`.
struct DeviceFault {
  cudaError_t error;
  std::string message;
};

/// Prints the message and keeps the first one for take_report().
void report(const std::string& message);

/// report(), and the device is lost with that error.
void lose_device(const DeviceFault& fault);

/// The error that has ended the device, or cudaSuccess.
cudaError_t sticky_error();
void clear_sticky_error();

/// Remembers `error` for cudaGetLastError of this thread; returns it.
cudaError_t set_last(cudaError_t error);

/// "": nothing was reported since the device was reset; else what is added to error strings.
std::string last_report();

}  // namespace emu::runtime
