#include "minidl/kernels/elementwise.h"

#include <cmath>
#include <numbers>
#include <type_traits>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/convert.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels {

const char* name(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg: return "neg";
    case UnaryOp::abs: return "abs";
    case UnaryOp::exp: return "exp";
    case UnaryOp::log: return "log";
    case UnaryOp::sqrt: return "sqrt";
    case UnaryOp::relu: return "relu";
    case UnaryOp::sigmoid: return "sigmoid";
    case UnaryOp::tanh: return "tanh";
    case UnaryOp::erf: return "erf";
    case UnaryOp::gelu: return "gelu";
    case UnaryOp::gelu_tanh: return "gelu_tanh";
  }
  return "unary";
}

const char* name(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return "add";
    case BinaryOp::sub: return "sub";
    case BinaryOp::mul: return "mul";
    case BinaryOp::div: return "div";
    case BinaryOp::maximum: return "maximum";
    case BinaryOp::minimum: return "minimum";
    case BinaryOp::equal: return "equal";
    case BinaryOp::relu_backward: return "relu_backward";
    case BinaryOp::sigmoid_backward: return "sigmoid_backward";
    case BinaryOp::tanh_backward: return "tanh_backward";
    case BinaryOp::abs_backward: return "abs_backward";
    case BinaryOp::gelu_backward: return "gelu_backward";
    case BinaryOp::gelu_tanh_backward: return "gelu_tanh_backward";
    case BinaryOp::select_greater: return "select_greater";
  }
  return "binary";
}

namespace cpu {
namespace {

// Integers take a detour through their unsigned twins, where overflow is defined.
template <class T, class F>
T wrapping(T a, T b, F f) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(f(static_cast<Unsigned>(a), static_cast<Unsigned>(b)));
  } else {
    return f(a, b);
  }
}

template <class T>
T add(T a, T b) {
  return wrapping(a, b, [](auto x, auto y) { return x + y; });
}

template <class T>
T sub(T a, T b) {
  return wrapping(a, b, [](auto x, auto y) { return x - y; });
}

template <class T>
T mul(T a, T b) {
  return wrapping(a, b, [](auto x, auto y) { return x * y; });
}

template <class T>
T negate(T v) {
  if constexpr (std::is_integral_v<T>) {
    return sub(T{0}, v);
  } else {
    return -v;
  }
}

// The result of a comparison that prefers its right side where the left one is NaN.
template <class T>
T keep_nan(T left, T chosen) {
  return left != left ? left : chosen;
}

// out = f(x)
template <class T, class F>
void map(const View& x, const View& out, std::int64_t grain, const F& f) {
  const LoopNest<2> nest(out.shape, {out.strides, x.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t x_step = nest.inner_stride(1);
  for_each_row(nest, grain, [&](const auto& at, std::int64_t count) {
    T* o = out.ptr<T>() + at[0];
    const T* a = x.ptr<T>() + at[1];
    if (out_step == 1 && x_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(a[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) o[i * out_step] = f(a[i * x_step]);
    }
  });
}

// out = f(a, b)
template <class T, class F>
void zip(const View& a, const View& b, const View& out, const F& f, std::int64_t grain = kGrain) {
  const LoopNest<3> nest(out.shape, {out.strides, a.strides, b.strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t a_step = nest.inner_stride(1);
  const std::int64_t b_step = nest.inner_stride(2);
  for_each_row(nest, grain, [&](const auto& at, std::int64_t count) {
    T* o = out.ptr<T>() + at[0];
    const T* p = a.ptr<T>() + at[1];
    const T* q = b.ptr<T>() + at[2];
    if (out_step == 1 && a_step == 1 && b_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(p[i], q[i]);
    } else if (out_step == 1 && a_step == 1 && b_step == 0) {
      const T right = *q;
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(p[i], right);
    } else if (out_step == 1 && a_step == 0 && b_step == 1) {
      const T left = *p;
      for (std::int64_t i = 0; i < count; ++i) o[i] = f(left, q[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        o[i * out_step] = f(p[i * a_step], q[i * b_step]);
      }
    }
  });
}

double erf(double x) {
  return std::erf(x);
}

// Eigen's rational approximation, within 4e-7 of erf: nothing but arithmetic, so that it
// vectorises, which std::erf does not. Beyond kEnd erf rounds to +-1.
float erf(float x) {
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

// The standard normal distribution and its density.
template <class T>
T normal_cdf(T x) {
  constexpr T kInverseSqrt2 = std::numbers::sqrt2_v<T> / T{2};
  return T{0.5} * (T{1} + erf(x * kInverseSqrt2));
}
template <class T>
T normal_density(T x) {
  constexpr T kPeak = std::numbers::inv_sqrtpi_v<T> * std::numbers::sqrt2_v<T> / T{2};
  return kPeak * std::exp(T{-0.5} * x * x);
}

// gelu_tanh stands in c(x) = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) for the distribution.
template <class T>
struct TanhGelu {
  static constexpr T kSlope = T{2} * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
  static constexpr T kCubic = static_cast<T>(0.044715);

  static T cdf(T x) { return T{1} / (T{1} + std::exp(-kSlope * x * (T{1} + kCubic * x * x))); }
  static T slope(T x) {
    const T c = cdf(x);
    return c + x * c * (T{1} - c) * kSlope * (T{1} + T{3} * kCubic * x * x);
  }
};

// What integers have too; false for the other operations.
template <class T>
bool unary_any(UnaryOp op, const View& x, const View& out) {
  switch (op) {
    case UnaryOp::neg: map<T>(x, out, kGrain, [](T v) { return negate(v); }); return true;
    case UnaryOp::abs:
      if constexpr (std::is_integral_v<T>) {
        map<T>(x, out, kGrain, [](T v) { return v < 0 ? negate(v) : v; });
      } else {
        map<T>(x, out, kGrain, [](T v) { return std::abs(v); });
      }
      return true;
    case UnaryOp::relu:
      map<T>(x, out, kGrain, [](T v) { return v <= T{0} ? T{0} : v; });
      return true;
    default: return false;
  }
}

template <class T>
void unary_float(UnaryOp op, const View& x, const View& out) {
  switch (op) {
    case UnaryOp::exp: return map<T>(x, out, kGrainExp, [](T v) { return std::exp(v); });
    case UnaryOp::log: return map<T>(x, out, kGrainExp, [](T v) { return std::log(v); });
    case UnaryOp::sqrt: return map<T>(x, out, kGrain, [](T v) { return std::sqrt(v); });
    case UnaryOp::sigmoid:
      return map<T>(x, out, kGrainExp, [](T v) { return T{1} / (T{1} + std::exp(-v)); });
    case UnaryOp::tanh: return map<T>(x, out, kGrainExp, [](T v) { return std::tanh(v); });
    case UnaryOp::erf: return map<T>(x, out, kGrain, [](T v) { return erf(v); });
    case UnaryOp::gelu: return map<T>(x, out, kGrain, [](T v) { return v * normal_cdf(v); });
    case UnaryOp::gelu_tanh:
      return map<T>(x, out, kGrainExp, [](T v) { return v * TanhGelu<T>::cdf(v); });
    default: fail("unary: unknown operation {}", static_cast<int>(op));
  }
}

template <class T>
bool binary_any(BinaryOp op, const View& a, const View& b, const View& out) {
  switch (op) {
    case BinaryOp::add: zip<T>(a, b, out, [](T p, T q) { return add(p, q); }); return true;
    case BinaryOp::sub: zip<T>(a, b, out, [](T p, T q) { return sub(p, q); }); return true;
    case BinaryOp::mul: zip<T>(a, b, out, [](T p, T q) { return mul(p, q); }); return true;
    case BinaryOp::maximum:
      zip<T>(a, b, out, [](T p, T q) { return keep_nan(p, p > q ? p : q); });
      return true;
    case BinaryOp::minimum:
      zip<T>(a, b, out, [](T p, T q) { return keep_nan(p, p < q ? p : q); });
      return true;
    case BinaryOp::equal:
      zip<T>(a, b, out, [](T p, T q) { return p == q ? T{1} : T{0}; });
      return true;
    default: return false;
  }
}

template <class T>
void binary_float(BinaryOp op, const View& a, const View& b, const View& out) {
  switch (op) {
    case BinaryOp::div: return zip<T>(a, b, out, [](T p, T q) { return p / q; });
    case BinaryOp::relu_backward:
      return zip<T>(a, b, out, [](T g, T y) { return y > T{0} ? g : T{0}; });
    case BinaryOp::sigmoid_backward:
      return zip<T>(a, b, out, [](T g, T y) { return g * y * (T{1} - y); });
    case BinaryOp::tanh_backward:
      return zip<T>(a, b, out, [](T g, T y) { return g * (T{1} - y * y); });
    case BinaryOp::abs_backward:
      return zip<T>(a, b, out, [](T g, T x) {
        return g * ((x > T{0} ? T{1} : T{0}) - (x < T{0} ? T{1} : T{0}));
      });
    case BinaryOp::gelu_backward:
      return zip<T>(
          a, b, out, [](T g, T x) { return g * (normal_cdf(x) + x * normal_density(x)); },
          kGrainExp);
    case BinaryOp::gelu_tanh_backward:
      return zip<T>(
          a, b, out, [](T g, T x) { return g * TanhGelu<T>::slope(x); }, kGrainExp);
    case BinaryOp::select_greater:
      return zip<T>(a, b, out, [](T g, T difference) {
        const T rest = difference == T{0} ? g / T{2} : T{0};
        return difference > T{0} ? g : rest;
      });
    default: fail("binary: unknown operation {}", static_cast<int>(op));
  }
}

}  // namespace

void unary(ExecContext&, UnaryOp op, const View& x, const View& out) {
  const bool done = visit_arithmetic(
      name(op), x.dtype, [&](auto zero) { return unary_any<decltype(zero)>(op, x, out); });
  if (done) return;
  visit_float(name(op), x.dtype, [&](auto zero) { unary_float<decltype(zero)>(op, x, out); });
}

void binary(ExecContext&, BinaryOp op, const View& a, const View& b, const View& out) {
  const bool done = visit_arithmetic(
      name(op), out.dtype, [&](auto zero) { return binary_any<decltype(zero)>(op, a, b, out); });
  if (done) return;
  visit_float(name(op), out.dtype, [&](auto zero) { binary_float<decltype(zero)>(op, a, b, out); });
}

void affine(ExecContext&, const View& x, double alpha, double beta, const View& out) {
  visit_arithmetic("affine", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T scale = convert<T>(alpha);
    const T shift = convert<T>(beta);
    map<T>(x, out, kGrain, [=](T v) { return add(mul(scale, v), shift); });
  });
}

void power(ExecContext&, const View& x, double exponent, const View& out) {
  visit_float("pow", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T e = static_cast<T>(exponent);
    if (exponent == 1) return map<T>(x, out, kGrain, [](T v) { return v; });
    if (exponent == 2) return map<T>(x, out, kGrain, [](T v) { return v * v; });
    map<T>(x, out, kGrainExp, [=](T v) { return std::pow(v, e); });
  });
}

void axpy(ExecContext&, double alpha, const View& x, const View& y) {
  visit_arithmetic("axpy", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T scale = static_cast<T>(alpha);
    zip<T>(y, x, y, [=](T sum, T v) { return add<T>(sum, mul<T>(scale, v)); });
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
