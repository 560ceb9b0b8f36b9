// Comparisons and choices: kernels/cuda/elements.cuh walks, kernels/predicates.h compares.
#include "minidl/kernels/common/raw_elements.h"
#include "minidl/kernels/comparison.h"
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/predicates.h"

namespace minidl::kernels::cuda {
namespace {

struct Choose {
  template <class T>
  __device__ T operator()(bool condition, T a, T b) const {
    return condition ? a : b;
  }
};

template <class T>
struct Fill {
  T value;
  bool filled;

  __device__ T operator()(T x, bool mask) const { return mask == filled ? value : x; }
};

}  // namespace

void compare(ExecContext& ctx, CompareOp op, const View& a, const View& b, const View& out) {
  visit_comparison(op, [&](const auto& f) {
    visit_comparable(name(op), a.dtype, [&](auto zero) {
      using T = decltype(zero);
      for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<bool>{out}, Reads<T>{a},
                       Reads<T>{b});
    });
  });
}

void compare_number(ExecContext& ctx, CompareOp op, const View& a, double b, const View& out) {
  visit_comparison(op, [&](auto f) {
    visit_comparable(name(op), a.dtype, [&](auto zero) {
      using T = decltype(zero);
      const predicates::Against<decltype(f), T> against{f, convert<T>(b)};
      for_each_element(ctx, name(op), out.shape, Assign{against}, Writes<bool>{out}, Reads<T>{a});
    });
  });
}

void classify(ExecContext& ctx, NumberClass what, const View& x, const View& out) {
  visit_class(what, [&](const auto& f) {
    visit_float(name(what), x.dtype, [&](auto zero) {
      using T = decltype(zero);
      for_each_element(ctx, name(what), out.shape, Assign{f}, Writes<bool>{out}, Reads<T>{x});
    });
  });
}

void where(ExecContext& ctx, const View& condition, const View& a, const View& b, const View& out) {
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const View to = as<T>(out), yes = as<T>(a), no = as<T>(b);
    for_each_element(ctx, "where", out.shape, Assign{Choose()}, Writes<T>{to},
                     Reads<bool>{condition}, Reads<T>{yes}, Reads<T>{no});
  });
}

void masked_fill(ExecContext& ctx, const View& x, const View& mask, bool filled, double value,
                 const View& out) {
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const View to = as<T>(out), from = as<T>(x);
    const Fill<T> fill{bits_of<T>(out.dtype, value), filled};
    for_each_element(ctx, "masked_fill", out.shape, Assign{fill}, Writes<T>{to}, Reads<T>{from},
                     Reads<bool>{mask});
  });
}

}  // namespace minidl::kernels::cuda
