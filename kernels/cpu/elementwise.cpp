#include "minidl/kernels/elementwise.h"

#include <cmath>

#include "minidl/kernels/arithmetic.h"
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
void zip(const View& a, const View& b, const View& out, std::int64_t grain, const F& f) {
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

std::int64_t grain_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::exp:
    case UnaryOp::log:
    case UnaryOp::sigmoid:
    case UnaryOp::tanh:
    case UnaryOp::gelu_tanh: return kGrainExp;
    default: return kGrain;
  }
}

std::int64_t grain_of(BinaryOp op) {
  const bool exp = op == BinaryOp::gelu_backward || op == BinaryOp::gelu_tanh_backward;
  return exp ? kGrainExp : kGrain;
}

}  // namespace

void unary(ExecContext&, UnaryOp op, const View& x, const View& out) {
  visit_unary<Erf>(op, x.dtype,
                   [&](auto zero, const auto& f) { map<decltype(zero)>(x, out, grain_of(op), f); });
}

void binary(ExecContext&, BinaryOp op, const View& a, const View& b, const View& out) {
  visit_binary<Erf>(op, out.dtype, [&](auto zero, const auto& f) {
    zip<decltype(zero)>(a, b, out, grain_of(op), f);
  });
}

void affine(ExecContext&, const View& x, double alpha, double beta, const View& out) {
  visit_arithmetic("affine", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    map<T>(x, out, kGrain, arithmetic::Affine<T>(alpha, beta));
  });
}

void power(ExecContext&, const View& x, double exponent, const View& out) {
  const std::int64_t grain = exponent == 1 || exponent == 2 ? kGrain : kGrainExp;
  visit_power(exponent, x.dtype,
              [&](auto zero, const auto& f) { map<decltype(zero)>(x, out, grain, f); });
}

void axpy(ExecContext&, double alpha, const View& x, const View& y) {
  visit_arithmetic("axpy", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    zip<T>(y, x, y, kGrain, arithmetic::Axpy<T>(alpha));
  });
}

}  // namespace cpu
}  // namespace minidl::kernels
