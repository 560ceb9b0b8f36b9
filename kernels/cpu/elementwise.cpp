#include "minidl/kernels/elementwise.h"

#include <cmath>

#include "minidl/kernels/cpu/maps.h"
#include "minidl/kernels/functions.h"

namespace minidl::kernels {

namespace cpu {
namespace {

struct Erf {
  double operator()(double x) const { return std::erf(x); }

  // Eigen's rational approximation, within 4e-7 of erf: nothing but arithmetic, so that it
  // vectorises, which std::erf does not. Beyond kEnd erf rounds to +-1.
  float operator()(float x) const {
    constexpr float kEnd = 3.92f;
    const float s = x * x;
    float p = -2.72614225801306e-10f;
    p = p * s + 2.77068142495902e-08f;
    p = p * s - 2.10102402082508e-06f;
    p = p * s - 5.69250639462346e-05f;
    p = p * s - 7.34990630326855e-04f;
    p = p * s - 2.95459980854025e-03f;
    p = p * s - 1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * s - 2.13374055278905e-04f;
    q = q * s - 1.68282697438203e-03f;
    q = q * s - 7.37332916720468e-03f;
    q = q * s - 1.42647390514189e-02f;
    const float ratio = x * p / q;
    const float upper = x > kEnd ? 1.0f : ratio;
    return x < -kEnd ? -1.0f : upper;
  }
};

}  // namespace
}  // namespace cpu

const char* name(UnaryOp op) {
  return visit_function<cpu::Erf>(op, [](auto functor) { return decltype(functor)::kName; });
}

const char* name(ParametricOp op) {
  return visit_function<float>(op, {}, [](auto functor) { return decltype(functor)::kName; });
}

const char* name(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return "add";
    case BinaryOp::sub: return "sub";
    case BinaryOp::mul: return "mul";
    case BinaryOp::div: return "div";
    case BinaryOp::floor_divide: return "floor_divide";
    case BinaryOp::remainder: return "remainder";
    case BinaryOp::pow: return "pow";
    case BinaryOp::maximum: return "maximum";
    case BinaryOp::minimum: return "minimum";
    case BinaryOp::bitwise_and: return "bitwise_and";
    case BinaryOp::bitwise_or: return "bitwise_or";
    case BinaryOp::bitwise_xor: return "bitwise_xor";
    case BinaryOp::select_greater: return "select_greater";
  }
  return "binary";
}

Derivative derivative(UnaryOp op) {
  return visit_function<cpu::Erf>(op, [](auto functor) { return decltype(functor)::kDerivative; });
}

namespace cpu {
namespace {

template <class F>
std::int64_t grain_of(const F&) {
  return F::kSlow ? kGrainExp : kGrain;
}

template <class F>
std::int64_t grain_of(const arithmetic::Gradient<F>&) {
  return F::kSlow && F::kDerivative == Derivative::of_input ? kGrainExp : kGrain;
}

// Throws where the divisor is 0.
template <class F>
struct Dividing {
  BinaryOp op;
  F f;

  template <class T>
  T operator()(T a, T b) const {
    if (b == T{0}) throw Error{explain_zero_divisor(op)};
    return f(a, b);
  }
};

}  // namespace

void unary(ExecContext&, UnaryOp op, const View& x, const View& out) {
  visit_unary<Erf>(op, accumulation_dtype(x.dtype), [&](auto zero, const auto& f) {
    using T = decltype(zero);
    map<T, T>(x, out, grain_of(f), f);
  });
}

void unary_backward(ExecContext&, UnaryOp op, const View& grad, const View& saved,
                    const View& out) {
  visit_unary_gradient<Erf>(op, accumulation_dtype(out.dtype), [&](auto zero, const auto& f) {
    using T = decltype(zero);
    zip<T, T, T>(grad, saved, out, grain_of(f), f);
  });
}

void parametric(ExecContext&, ParametricOp op, const Parameters& parameters, const View& x,
                const View& out) {
  visit_parametric(op, parameters, accumulation_dtype(x.dtype), [&](auto zero, const auto& f) {
    using T = decltype(zero);
    map<T, T>(x, out, grain_of(f), f);
  });
}

void parametric_backward(ExecContext&, ParametricOp op, const Parameters& parameters,
                         const View& grad, const View& x, const View& out) {
  visit_parametric_gradient(op, parameters, accumulation_dtype(out.dtype),
                            [&](auto zero, const auto& f) {
                              using T = decltype(zero);
                              zip<T, T, T>(grad, x, out, grain_of(f), f);
                            });
}

void binary(ExecContext&, BinaryOp op, const View& a, const View& b, const View& out) {
  const std::int64_t grain = op == BinaryOp::pow ? kGrainExp : kGrain;
  visit_binary(op, accumulation_dtype(out.dtype), [&](auto zero, const auto& f) {
    using T = decltype(zero);
    using F = std::decay_t<decltype(f)>;
    if constexpr (std::is_integral_v<T> && arithmetic::kDivides<F>) {
      zip<T, T, T>(a, b, out, grain, Dividing<F>{op, f});
    } else {
      zip<T, T, T>(a, b, out, grain, f);
    }
  });
}

void affine(ExecContext&, const View& x, double alpha, double beta, const View& out) {
  visit_arithmetic("affine", accumulation_dtype(x.dtype), [&](auto zero) {
    using T = decltype(zero);
    map<T, T>(x, out, kGrain, arithmetic::Affine<T>(alpha, beta));
  });
}

void power(ExecContext&, const View& x, double exponent, const View& out) {
  const std::int64_t grain = exponent == 1 || exponent == 2 ? kGrain : kGrainExp;
  visit_power(exponent, accumulation_dtype(x.dtype), [&](auto zero, const auto& f) {
    using T = decltype(zero);
    map<T, T>(x, out, grain, f);
  });
}

void axpy(ExecContext&, double alpha, const View& x, const View& y) {
  visit_arithmetic("axpy", accumulation_dtype(y.dtype), [&](auto zero) {
    using T = decltype(zero);
    zip<T, T, T>(y, x, y, kGrain, arithmetic::Axpy<T>(alpha));
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
