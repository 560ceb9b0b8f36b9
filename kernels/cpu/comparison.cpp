#include "minidl/kernels/comparison.h"

#include <bit>
#include <cstdint>
#include <type_traits>

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
namespace {

// a where the mask is 1, b where it is 0. Without a branch, and with bytes for bools, loops of this
// become vector code.
template <class T>
T choose(std::uint8_t mask, T a, T b) {
  using Wide = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  using Short = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint8_t>;
  using Bits = std::conditional_t<sizeof(T) >= 4, Wide, Short>;
  const auto of_a = static_cast<Bits>(Bits{0} - mask);
  const auto of_b = static_cast<Bits>(~of_a);
  return std::bit_cast<T>(
      static_cast<Bits>((std::bit_cast<Bits>(a) & of_a) | (std::bit_cast<Bits>(b) & of_b)));
}

}  // namespace

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
  const View mask = as<std::uint8_t>(condition);
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const View to = as<T>(out), yes = as<T>(a), no = as<T>(b);
    for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
      T* o = to.ptr<T>() + at[0];
      const std::uint8_t* m = mask.ptr<std::uint8_t>() + at[1];
      const T* p = yes.ptr<T>() + at[2];
      const T* q = no.ptr<T>() + at[3];
      if (dense) {
        for (std::int64_t i = 0; i < count; ++i) o[i] = choose(m[i], p[i], q[i]);
      } else {
        for (std::int64_t i = 0; i < count; ++i) {
          o[i * out_step] = choose(m[i * condition_step], p[i * a_step], q[i * b_step]);
        }
      }
    });
  });
}

void masked_fill(ExecContext&, const View& x, const View& mask, bool filled, double value,
                 const View& out) {
  visit_size(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto fill = [flipped = static_cast<std::uint8_t>(filled ? 1 : 0),
                       bits = bits_of<T>(out.dtype, value)](T element, std::uint8_t m) {
      return choose(static_cast<std::uint8_t>(m ^ flipped), element, bits);
    };
    zip<T, std::uint8_t, T>(as<T>(x), as<std::uint8_t>(mask), as<T>(out), kGrain, fill);
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
