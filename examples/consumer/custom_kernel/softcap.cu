// The kernels. nvcc compiles this file for GPUs, and the C++ compiler for minidl's emulator.
// docs/writing-kernels.md has the rules; the first is that launch() replaces <<<>>>.
#include <minidl/kernels/cuda/context.cuh>
#include <minidl/kernels/cuda/launch.cuh>

#include "softcap.h"

namespace dl = minidl;
using dl::kernels::View;

namespace {

constexpr int kThreads = 256;

// out[i] = f(in[i]...)
template <class F, class T, class... In>
__global__ void map_kernel(F f, std::int64_t count, T* out, const In*... in) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    out[i] = f(in[i]...);
  }
}

template <class F, class T, class... In>
void map(const dl::ExecContext& ctx, const char* name, F f, std::int64_t count, T* out,
         const In*... in) {
  if (count == 0) return;
  const std::int64_t blocks = dl::kernels::cuda::ceil_div(count, kThreads);
  dl::kernels::cuda::launch(dl::kernels::cuda::linear_launch(ctx, name, blocks, kThreads),
                            map_kernel<F, T, In...>, f, count, out, in...);
}

}  // namespace

void softcap_cuda(const dl::ExecContext& ctx, const View& x, double cap, const View& y) {
  dl::visit_float("softcap", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const SoftcapForward<T> f{static_cast<T>(cap)};
    map(ctx, "softcap", f, x.numel(), y.ptr<T>(), static_cast<const T*>(x.ptr<T>()));
  });
}

void softcap_backward_cuda(const dl::ExecContext& ctx, const View& grad, const View& y, double cap,
                           const View& dx) {
  dl::visit_float("softcap_backward", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const SoftcapBackward<T> f{static_cast<T>(cap)};
    map(ctx, "softcap_backward", f, y.numel(), dx.ptr<T>(), static_cast<const T*>(grad.ptr<T>()),
        static_cast<const T*>(y.ptr<T>()));
  });
}
