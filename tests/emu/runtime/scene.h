// What the tests of the runtime shim share: kernels to launch, and a device in a known state.
#pragma once

#include <cuda_runtime_api.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "../engine.h"
#include "../thread.h"
#include "runtime.h"
#include "tests/catch.h"

namespace emu::scene {

constexpr int kThreads = 64;

/// A device without history, and the options put back at the end.
class Scene {
 public:
  explicit Scene(Streams streams = Streams::kLate) : saved_(runtime_options()) {
    reset_device();
    runtime_options().streams = streams;
  }
  ~Scene() {
    cudaDeviceSynchronize();  // frees that are queued
    runtime_options() = saved_;
    reset_device();
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

 private:
  RuntimeOptions saved_;
};

inline void check(cudaError_t error) {
  INFO(cudaGetErrorString(error));
  REQUIRE(error == cudaSuccess);
}

inline int index() {
  return static_cast<int>(self().block_index.x * self().block_dim.x + self().thread_index.x);
}

inline void add_kernel(float* data, float value, int count) {
  if (index() < count) data[index()] += value;
}
inline void fill_kernel(float* data, float value, int count) {
  if (index() < count) data[index()] = value;
}
inline void copy_kernel(float* to, const float* from, int count) {
  if (index() < count) to[index()] = from[index()];
}

template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, const char* name, int count, void (*kernel)(Parameters...),
            Arguments... arguments) {
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  enqueue(stream,
          make_launch(name, dim3(blocks), dim3(kThreads), dim3(1), 0, kernel, arguments...));
}
inline void fill(cudaStream_t stream, float* data, float value, int count) {
  launch(stream, "fill", count, fill_kernel, data, value, count);
}
inline void add(cudaStream_t stream, float* data, float value, int count) {
  launch(stream, "add", count, add_kernel, data, value, count);
}
inline void copy(cudaStream_t stream, float* to, const float* from, int count) {
  launch(stream, "copy", count, copy_kernel, to, from, count);
}

template <class T = float>
T* device_memory(int count) {
  void* pointer = nullptr;
  check(cudaMalloc(&pointer, static_cast<std::size_t>(count) * sizeof(T)));
  return static_cast<T*>(pointer);
}

inline cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}

inline cudaEvent_t new_event(unsigned flags = cudaEventDisableTiming) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, flags));
  return event;
}

inline std::vector<float> to_host(const float* data, int count) {
  std::vector<float> host(static_cast<std::size_t>(count));
  check(cudaMemcpy(host.data(), data, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
  return host;
}

/// Runs `body` in a child that is expected to die of SIGSEGV; returns what it wrote to stderr.
template <class Body>
std::string death_of(const Body& body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  INFO(text);
  CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return text;
}

}  // namespace emu::scene
