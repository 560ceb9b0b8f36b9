#include "minidl/kernels/comparison.h"

#include "minidl/kernels/common/raw_elements.h"
#include "minidl/kernels/cpu/maps.h"
#include "minidl/kernels/predicates.h"

namespace minidl::kernels {

const char* name(CompareOp op) {
  switch (op) {
    case CompareOp::eq: return "eq";
    case CompareOp::ne: return "ne";
    case CompareOp::lt: return "lt";
    case CompareOp::le: return "le";
    case CompareOp::gt: return "gt";
    case CompareOp::ge: return "ge";
  }
  return "compare";
}

const char* name(NumberClass what) {
  switch (what) {
    case NumberClass::nan: return "isnan";
    case NumberClass::inf: return "isinf";
    case NumberClass::finite: return "isfinite";
  }
  return "classify";
}

namespace cpu {

void compare(ExecContext&, CompareOp op, const View& a, const View& b, const View& out) {
  visit_comparison(op, [&](const auto& f) {
    visit_comparable(name(op), a.dtype, [&](auto zero) {
      using T = decltype(zero);
      zip<T, T, bool>(a, b, out, kGrain, f);
    });
  });
}

void compare_number(ExecContext&, CompareOp op, const View& a, double b, const View& out) {
  visit_comparison(op, [&](auto f) {
    visit_comparable(name(op), a.dtype, [&](auto zero) {
      using T = decltype(zero);
      map<T, bool>(a, out, kGrain, predicates::Against<decltype(f), T>{f, convert<T>(b)});
    });
  });
}

void classify(ExecContext&, NumberClass what, const View& x, const View& out) {
  visit_class(what, [&](const auto& f) {
    visit_float(name(what), x.dtype,
                [&](auto zero) { map<decltype(zero), bool>(x, out, kGrain, f); });
  });
}

void where(ExecContext&, const View& condition, const View& a, const View& b, const View& out) {
  const LoopNest<4> nest(out.shape, {out.strides, condition.strides, a.strides, b.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t condition_step = nest.inner_stride(1);
  const std::int64_t a_step = nest.inner_stride(2);
  const std::int64_t b_step = nest.inner_stride(3);
  const bool dense = out_step == 1 && condition_step == 1 && a_step == 1 && b_step == 1;
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
      T* o = as<T>(out).template ptr<T>() + at[0];
      const bool* c = condition.ptr<bool>() + at[1];
      const T* p = as<T>(a).template ptr<T>() + at[2];
      const T* q = as<T>(b).template ptr<T>() + at[3];
      if (dense) {
        for (std::int64_t i = 0; i < count; ++i) o[i] = c[i] ? p[i] : q[i];
      } else {
        for (std::int64_t i = 0; i < count; ++i) {
          o[i * out_step] = c[i * condition_step] ? p[i * a_step] : q[i * b_step];
        }
      }
    });
  });
}

void masked_fill(ExecContext&, const View& x, const View& mask, bool filled, double value,
                 const View& out) {
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const predicates::Fill<T> fill{bits_of<T>(out.dtype, value), filled};
    zip<T, bool, T>(as<T>(x), mask, as<T>(out), kGrain, fill);
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
