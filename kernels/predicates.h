// What comparisons compute, for the kernels of every device: a functor per operation,
// and which dtypes it has. Not part of the public interface.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/common/host_device.h"
#include "minidl/kernels/comparison.h"

namespace minidl::kernels {

namespace predicates {

struct Equal {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a == b;
  }
};

struct NotEqual {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a != b;
  }
};

struct Less {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a < b;
  }
};

struct LessEqual {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a <= b;
  }
};

struct Greater {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a > b;
  }
};

struct GreaterEqual {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T a, T b) const {
    return a >= b;
  }
};

/// A comparison with a number on the right.
template <class F, class T>
struct Against {
  F f;
  T right;

  MINIDL_HOST_DEVICE bool operator()(T left) const { return f(left, right); }
};

struct IsNan {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T x) const {
    return x != x;
  }
};

struct IsInf {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T x) const {
    return std::abs(x) > std::numeric_limits<T>::max();
  }
};

struct IsFinite {
  template <class T>
  MINIDL_HOST_DEVICE bool operator()(T x) const {
    return std::abs(x) <= std::numeric_limits<T>::max();
  }
};

}  // namespace predicates

/// Calls use(functor).
template <class Use>
void visit_comparison(CompareOp op, const Use& use) {
  switch (op) {
    case CompareOp::eq: return use(predicates::Equal());
    case CompareOp::ne: return use(predicates::NotEqual());
    case CompareOp::lt: return use(predicates::Less());
    case CompareOp::le: return use(predicates::LessEqual());
    case CompareOp::gt: return use(predicates::Greater());
    case CompareOp::ge: return use(predicates::GreaterEqual());
  }
  fail("compare: unknown operation {}", static_cast<int>(op));
}

template <class Use>
void visit_class(NumberClass what, const Use& use) {
  switch (what) {
    case NumberClass::nan: return use(predicates::IsNan());
    case NumberClass::inf: return use(predicates::IsInf());
    case NumberClass::finite: return use(predicates::IsFinite());
  }
  fail("classify: unknown class {}", static_cast<int>(what));
}

/// Calls use(T{}) with the C++ type of `dtype`, any but f16 and bf16: they throw Error.
template <class Use>
void visit_comparable(const char* op, DType dtype, const Use& use) {
  visit_dtype(dtype, [&](auto zero) {
    if constexpr (std::is_class_v<decltype(zero)>) {
      minidl::detail::unsupported_dtype(op, dtype);
    } else {
      use(zero);
    }
  });
}

}  // namespace minidl::kernels
