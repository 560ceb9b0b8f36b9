// The elementwise operations: kernels/cuda/elements.cuh walks, kernels/arithmetic.h and
// kernels/functions.h compute.
#include "minidl/kernels/arithmetic.h"
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/cuda/report.cuh"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/functions.h"

namespace minidl::kernels::cuda {
namespace {

struct Erf {
  __device__ float operator()(float x) const { return erff(x); }
  __device__ double operator()(double x) const { return erf(x); }
};

std::string explain_divisor(const ReportValues& values) {
  return explain_zero_divisor(static_cast<BinaryOp>(values[0]));
}

// Reports a divisor of 0. All threads that do write the same.
template <class F>
struct Dividing {
  BinaryOp op;
  Report report;
  F f;

  template <class T>
  __device__ T operator()(T a, T b) const {
    if (b == T{0}) report.write(static_cast<std::int64_t>(op));
    return f(a, b);
  }
};

}  // namespace

void unary(ExecContext& ctx, UnaryOp op, const View& x, const View& out) {
  visit_unary<Erf>(op, x.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{x});
  });
}

void unary_backward(ExecContext& ctx, UnaryOp op, const View& grad, const View& saved,
                    const View& out) {
  visit_unary_gradient<Erf>(op, out.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{grad},
                     Reads<T>{saved});
  });
}

void parametric(ExecContext& ctx, ParametricOp op, const Parameters& parameters, const View& x,
                const View& out) {
  visit_parametric(op, parameters, x.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{x});
  });
}

void parametric_backward(ExecContext& ctx, ParametricOp op, const Parameters& parameters,
                         const View& grad, const View& x, const View& out) {
  visit_parametric_gradient(op, parameters, out.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{grad},
                     Reads<T>{x});
  });
}

void binary(ExecContext& ctx, BinaryOp op, const View& a, const View& b, const View& out) {
  visit_binary(op, out.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    using F = std::decay_t<decltype(f)>;
    const auto run = [&](const auto& g) {
      for_each_element(ctx, name(op), out.shape, Assign{g}, Writes<T>{out}, Reads<T>{a},
                       Reads<T>{b});
    };
    if constexpr (std::is_integral_v<T> && arithmetic::kDivides<F>) {
      run(Dividing<F>{op, report_to(ctx, explain_divisor), f});
    } else {
      run(f);
    }
  });
}

void affine(ExecContext& ctx, const View& x, double alpha, double beta, const View& out) {
  visit_arithmetic("affine", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_element(ctx, "affine", out.shape, Assign{arithmetic::Affine<T>(alpha, beta)},
                     Writes<T>{out}, Reads<T>{x});
  });
}

void power(ExecContext& ctx, const View& x, double exponent, const View& out) {
  visit_power(exponent, x.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, "pow", out.shape, Assign{f}, Writes<T>{out}, Reads<T>{x});
  });
}

void axpy(ExecContext& ctx, double alpha, const View& x, const View& y) {
  visit_arithmetic("axpy", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_element(ctx, "axpy", y.shape, Assign{arithmetic::Axpy<T>(alpha)}, Writes<T>{y},
                     Reads<T>{y}, Reads<T>{x});
  });
}

}  // namespace minidl::kernels::cuda
