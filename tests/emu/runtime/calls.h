// What every call of the runtime's interface begins with.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "report.h"
#include "streams.h"

namespace emu::runtime {

/// cudaSuccess if runtime calls are allowed here and now: there is a device, nothing has ended it,
/// and the calling thread is neither in a kernel nor in a host function.
cudaError_t may_call(const char* function);

/// The body of a call: its error is remembered for cudaGetLastError.
template <class Body>
cudaError_t call(const char* function, const Body& body) {
  cudaError_t error = may_call(function);
  if (error == cudaSuccess) error = body();
  if (error == cudaSuccess) error = sticky_error();
  return set_last(error);
}

/// report() of a mistake in the call itself, which changes nothing.
cudaError_t misuse(const char* function, const std::string& what,
                   cudaError_t error = cudaErrorInvalidValue);

/// Null for handles of no live stream.
Stream* stream_of(cudaStream_t handle);
inline cudaStream_t handle_of(Stream& stream) {
  return reinterpret_cast<cudaStream_t>(&stream);
}

/// Issues work on a stream, or adds it to the capture of the stream. `mark` (may be null) receives
/// the point to wait for; its number stays 0 for captured work.
cudaError_t submit(const char* function, cudaStream_t handle, Work work, Mark* mark = nullptr);

}  // namespace emu::runtime
