// Soft capping of logits: y = cap tanh(x / cap), which is x near 0 and never leaves ±cap. As an
// operation that autograd knows, with kernels of its own.
#pragma once

#include <minidl/core/tensor.h>
#include <minidl/kernels/common/exec_context.h>
#include <minidl/kernels/common/host_device.h>
#include <minidl/kernels/common/view.h>

#include <cmath>

/// f32 or f64, of any shape. Throws Error for other dtypes and unless cap is positive.
minidl::Tensor softcap(const minidl::Tensor& x, double cap);

// What one element becomes, for the loops of the CPU and of the GPU. Both are functors.
template <class T>
struct SoftcapForward {
  T cap;
  MINIDL_HOST_DEVICE T operator()(T x) const { return cap * std::tanh(x / cap); }
};
template <class T>
struct SoftcapBackward {  // from the gradient and the result, as cosh⁻² = 1 - tanh²
  T cap;
  MINIDL_HOST_DEVICE T operator()(T grad, T y) const { return grad * (1 - (y / cap) * (y / cap)); }
};

// softcap.cu. All views are contiguous and have one dtype.
void softcap_cuda(const minidl::ExecContext& ctx, const minidl::kernels::View& x, double cap,
                  const minidl::kernels::View& y);
void softcap_backward_cuda(const minidl::ExecContext& ctx, const minidl::kernels::View& grad,
                           const minidl::kernels::View& y, double cap,
                           const minidl::kernels::View& dx);
