#include "minidl/kernels/copy.h"

#include <algorithm>
#include <type_traits>

#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

template <class To, class From>
void copy_as(const View& src, const View& dst) {
  const LoopNest<2> nest(dst.shape, {dst.strides, src.strides});
  const std::int64_t dst_step = nest.inner_stride(0);
  const std::int64_t src_step = nest.inner_stride(1);
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    To* to = dst.ptr<To>() + at[0];
    const From* from = src.ptr<From>() + at[1];
    if (dst_step == 1 && src_step == 1) {
      if constexpr (std::is_same_v<To, From>) {
        std::copy_n(from, count, to);
      } else {
        for (std::int64_t i = 0; i < count; ++i) to[i] = convert<To>(from[i]);
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        to[i * dst_step] = convert<To>(from[i * src_step]);
      }
    }
  });
}

}  // namespace

void copy(ExecContext&, const View& src, const View& dst) {
  visit_dtype(dst.dtype, [&](auto to) {
    visit_dtype(src.dtype, [&](auto from) { copy_as<decltype(to), decltype(from)>(src, dst); });
  });
}

void fill(ExecContext&, const View& dst, double value) {
  visit_dtype(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T element = convert<T>(value);
    const LoopNest<1> nest(dst.shape, {dst.strides});
    const std::int64_t step = nest.inner_stride(0);
    for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
      T* to = dst.ptr<T>() + at[0];
      if (step == 1) {
        std::fill_n(to, count, element);
      } else {
        for (std::int64_t i = 0; i < count; ++i) to[i * step] = element;
      }
    });
  });
}

void arange(ExecContext&, const View& dst, double start, double step) {
  visit_dtype(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool> || sizeof(T) == 2) {
      detail::unsupported_dtype("arange", dst.dtype);
    } else {
      T* to = dst.ptr<T>();
      const std::int64_t stride = dst.strides[0];
      parallel_for(dst.size(0), kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          to[i * stride] = convert<T>(start + static_cast<double>(i) * step);
        }
      });
    }
  });
}

}  // namespace minidl::kernels::cpu
