#include "minidl/core/threads.h"

#include "minidl/kernels/common/parallel.h"

namespace minidl {

void set_num_threads(int count) {
  kernels::set_num_threads(count);
}

int num_threads() {
  return kernels::max_threads();
}

}  // namespace minidl
