// For test cases that run kernels of their own.
#pragma once

#include <iostream>

#include "tests/device.h"

namespace minidl::test {

inline bool on_cuda_or_skip() {
  if (test_device().is_cuda()) return true;
  std::cout << "SKIPPED: wants MINIDL_TEST_DEVICE=cuda\n";
  return false;
}

}  // namespace minidl::test
