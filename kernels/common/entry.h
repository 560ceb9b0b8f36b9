// How one name reaches the kernels of every device.
#pragma once

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// A kernel entry: the same signature once per device, chosen by `ctx.device`. A family header
/// declares, for a kernel `relu`:
///
///     using Relu = void(ExecContext&, const View& x, const View& out);
///     namespace cpu { Relu relu; }
///     namespace cuda { Relu relu; }
///     inline constexpr Entry<Relu> relu{cpu::relu, cuda::relu};
///
/// A kernel that has no CUDA side yet gives its name instead, and throws Error there:
///
///     inline constexpr Entry<Sort> sort{cpu::sort, only_on_cpu("sort")};
template <class Signature>
struct Entry;

struct OnlyOnCpu {
  const char* name;
};

constexpr OnlyOnCpu only_on_cpu(const char* name) {
  return {name};
}

/// Throws the Error of a kernel that has no CUDA side.
[[noreturn]] void refuse_cuda(const OnlyOnCpu& kernel);

template <class... Args>
struct Entry<void(ExecContext&, Args...)> {
  using Function = void(ExecContext&, Args...);

  constexpr Entry(Function* cpu_kernel, Function* cuda_kernel)
      : on_cpu(cpu_kernel), on_cuda(cuda_kernel) {}
  constexpr Entry(Function* cpu_kernel, OnlyOnCpu kernel) : on_cpu(cpu_kernel), only(kernel) {}

  Function* on_cpu;
  Function* on_cuda = nullptr;
  OnlyOnCpu only{};

  void operator()(ExecContext& ctx, Args... args) const {
    if (!ctx.device.is_cuda()) return on_cpu(ctx, args...);
    if (on_cuda == nullptr) refuse_cuda(only);
    on_cuda(ctx, args...);
  }
};

}  // namespace minidl::kernels
