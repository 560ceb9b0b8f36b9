// copy, fill and arange: kernels/cuda/elements.cuh walks, the functors here convert.
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/raw_elements.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/cuda/rounding.cuh"

namespace minidl::kernels::cuda {
namespace {

template <class To>
struct Convert {
  template <class From>
  __device__ To operator()(From value) const {
    return convert<To>(value);
  }
};

template <class T>
struct Constant {
  T value;

  __device__ T operator()() const { return value; }
};

template <class T>
struct Count {
  double start, step;

  __device__ T operator()(std::int64_t i) const {
    return convert<T>(add_product(start, static_cast<double>(i), step));
  }
};

}  // namespace

void copy(ExecContext& ctx, const View& src, const View& dst) {
  if (src.dtype == dst.dtype) {
    return visit_size(dst.dtype, [&](auto zero) {
      using T = decltype(zero);
      const View from = as<T>(src), to = as<T>(dst);
      for_each_element(ctx, "copy", dst.shape, Assign{Convert<T>{}}, Writes<T>{to}, Reads<T>{from});
    });
  }
  visit_dtype(dst.dtype, [&](auto to) {
    visit_dtype(src.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      if constexpr (!std::is_same_v<To, From>) {
        for_each_element(ctx, "copy", dst.shape, Assign{Convert<To>{}}, Writes<To>{dst},
                         Reads<From>{src});
      }
    });
  });
}

void fill(ExecContext& ctx, const View& dst, double value) {
  visit_size(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const View to = as<T>(dst);
    const Constant<T> constant{bits_of<T>(dst.dtype, value)};
    for_each_element(ctx, "fill", dst.shape, Assign{constant}, Writes<T>{to});
  });
}

void arange(ExecContext& ctx, const View& dst, double start, double step) {
  visit_dtype(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool> || sizeof(T) == 2) {
      minidl::detail::unsupported_dtype("arange", dst.dtype);
    } else {
      for_each_element(ctx, "arange", dst.shape, Assign{Count<T>{start, step}}, Writes<T>{dst},
                       Numbers(dst.shape));
    }
  });
}

}  // namespace minidl::kernels::cuda
