#include "minidl/kernels/common/entry.h"

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void refuse_cuda(const OnlyOnCpu& kernel) {
  fail("{}: only the CPU has this operation so far; move its operands there with .to(dl::cpu)",
       kernel.name);
}

}  // namespace minidl::kernels
