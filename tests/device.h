// The device that tests run on: MINIDL_TEST_DEVICE ("cuda", "cuda:1"), or the CPU.
#pragma once

#include <cstdlib>
#include <iostream>
#include <string>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/device.h"
#include "minidl/kernels/common/exec_context.h"

namespace minidl::test {

inline Device test_device() {
  const char* text = std::getenv("MINIDL_TEST_DEVICE");
  return text == nullptr ? cpu : Device::parse(text);
}

inline ExecContext test_context() {
  return {.device = test_device()};
}

/// Whether there is a GPU; if not, the test says that it is skipped, and should return.
inline bool gpu_or_skip() {
  if (kernels::cuda::device_count() > 0) return true;
  std::cout << "SKIPPED: " << why_not_cuda() << '\n';
  return false;
}

/// What descriptions of tensors there end with: " on cpu".
inline std::string on_test_device() {
  return " on " + to_string(test_device());
}

}  // namespace minidl::test
