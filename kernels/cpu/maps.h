// Loops over the elements at the same index of one or two operands. Where the types are float, the
// operands may all be f16 or all be bf16: f computes in float, and its results are rounded.
#pragma once

#include <algorithm>
#include <type_traits>

#include "minidl/kernels/common/view.h"
#include "minidl/kernels/cpu/rows.h"
#include "minidl/kernels/cpu/short_rows.h"

namespace minidl::kernels::cpu {

template <class F>
void map_16_bit(const View& x, const View& out, std::int64_t grain, const F& f) {
  const LoopNest<2> nest(out.shape, {out.strides, x.strides});
  for_each_row(nest, grain, [&](auto at, std::int64_t count) {
    Piece values;
    for (std::int64_t done = 0; done < count; done += kPiece) {
      const std::int64_t size = std::min(count - done, kPiece);
      load_piece(x, at[1] + done * nest.inner_stride(1), nest.inner_stride(1), size, values);
      for (std::int64_t i = 0; i < size; ++i) {
        float& value = values[static_cast<std::size_t>(i)];
        value = f(value);
      }
      store_piece(values, size, out, at[0] + done * nest.inner_stride(0), nest.inner_stride(0));
    }
  });
}

template <class F>
void zip_16_bit(const View& a, const View& b, const View& out, std::int64_t grain, const F& f) {
  const LoopNest<3> nest(out.shape, {out.strides, a.strides, b.strides});
  for_each_row(nest, grain, [&](auto at, std::int64_t count) {
    Piece left;
    Piece right;
    for (std::int64_t done = 0; done < count; done += kPiece) {
      const std::int64_t size = std::min(count - done, kPiece);
      load_piece(a, at[1] + done * nest.inner_stride(1), nest.inner_stride(1), size, left);
      load_piece(b, at[2] + done * nest.inner_stride(2), nest.inner_stride(2), size, right);
      for (std::int64_t i = 0; i < size; ++i) {
        const auto k = static_cast<std::size_t>(i);
        left[k] = f(left[k], right[k]);
      }
      store_piece(left, size, out, at[0] + done * nest.inner_stride(0), nest.inner_stride(0));
    }
  });
}

/// out = f(x)
template <class X, class Out, class F>
void map(const View& x, const View& out, std::int64_t grain, const F& f) {
  if constexpr (std::is_same_v<X, float> && std::is_same_v<Out, float>) {
    if (is_16_bit(out.dtype)) return map_16_bit(x, out, grain, f);
  }
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
  if constexpr (std::is_same_v<A, float> && std::is_same_v<B, float> &&
                std::is_same_v<Out, float>) {
    if (is_16_bit(out.dtype)) return zip_16_bit(a, b, out, grain, f);
  }
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
