// Loops over the elements at the same index of one or two operands.
#pragma once

#include "minidl/kernels/common/view.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {

/// out = f(x)
template <class X, class Out, class F>
void map(const View& x, const View& out, std::int64_t grain, const F& f) {
  const LoopNest<2> nest(out.shape, {out.strides, x.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t x_step = nest.inner_stride(1);
  for_each_row(nest, grain, [&](const auto& at, std::int64_t count) {
    Out* o = out.ptr<Out>() + at[0];
    const X* a = x.ptr<X>() + at[1];
    if (out_step == 1 && x_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(a[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) o[i * out_step] = f(a[i * x_step]);
    }
  });
}

/// out = f(a, b)
template <class A, class B, class Out, class F>
void zip(const View& a, const View& b, const View& out, std::int64_t grain, const F& f) {
  const LoopNest<3> nest(out.shape, {out.strides, a.strides, b.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t a_step = nest.inner_stride(1);
  const std::int64_t b_step = nest.inner_stride(2);
  for_each_row(nest, grain, [&](const auto& at, std::int64_t count) {
    Out* o = out.ptr<Out>() + at[0];
    const A* p = a.ptr<A>() + at[1];
    const B* q = b.ptr<B>() + at[2];
    if (out_step == 1 && a_step == 1 && b_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(p[i], q[i]);
    } else if (out_step == 1 && a_step == 1 && b_step == 0) {
      const B right = *q;
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(p[i], right);
    } else if (out_step == 1 && a_step == 0 && b_step == 1) {
      const A left = *p;
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(left, q[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        o[i * out_step] = f(p[i * a_step], q[i * b_step]);
      }
    }
  });
}

}  // namespace minidl::kernels::cpu
