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
template <class Signature>
struct Entry;

template <class... Args>
struct Entry<void(ExecContext&, Args...)> {
  using Function = void(ExecContext&, Args...);
  Function* on_cpu;
  Function* on_cuda;

  void operator()(ExecContext& ctx, Args... args) const {
    (ctx.device.is_cuda() ? on_cuda : on_cpu)(ctx, args...);
  }
};

}  // namespace minidl::kernels
