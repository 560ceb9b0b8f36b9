// How one name reaches the kernels of every device.
#pragma once

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"
#include "minidl/kernels/common/widen.h"

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
///
/// One that computes in f32 and f64 only says how its calls with f16 and bf16 operands are widened:
///
///     inline constexpr Entry<Relu> relu{cpu::relu, cuda::relu, writes_last(1)};
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

  constexpr Entry(Function* cpu_kernel, Function* cuda_kernel, Widening how = {})
      : on_cpu(cpu_kernel), on_cuda(cuda_kernel), widen_as(how) {}
  constexpr Entry(Function* cpu_kernel, OnlyOnCpu kernel, Widening how = {})
      : on_cpu(cpu_kernel), only(kernel), widen_as(how) {}

  Function* on_cpu;
  Function* on_cuda = nullptr;
  OnlyOnCpu only{};
  Widening widen_as{};

  void operator()(ExecContext& ctx, Args... args) const {
    const bool is_cuda = ctx.device.is_cuda();
    if (is_cuda && on_cuda == nullptr) refuse_cuda(only);
    Function* kernel = is_cuda ? on_cuda : on_cpu;
    const bool widens = is_cuda ? widen_as.on_cuda : widen_as.on_cpu;
    if (widens && any_16_bit(args...)) return call_widened(kernel, widen_as, ctx, args...);
    kernel(ctx, args...);
  }
};

}  // namespace minidl::kernels
