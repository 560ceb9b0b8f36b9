// How launches get onto streams. A file of its own, so that programs without the shim's streams may
// define enqueue() themselves.

#include "../engine.h"
#include "calls.h"
#include "heap.h"

const char* emu::enqueue(cudaStream_t stream, Launch launch) {
  const std::string* name = runtime::intern(launch.kernel);
  const cudaError_t error = runtime::call(name->c_str(), [&] {
    return runtime::submit(name->c_str(), stream,
                           {name, [launch = std::move(launch)] { run(launch); }});
  });
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}
