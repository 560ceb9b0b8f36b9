// The elementwise operations: kernels/cuda/elements.cuh walks, kernels/arithmetic.h
// computes.
#include "minidl/kernels/arithmetic.h"
#include "minidl/kernels/cuda/elements.cuh"
#include "minidl/kernels/elementwise.h"

namespace minidl::kernels::cuda {
namespace {

struct Erf {
  __device__ float operator()(float x) const { return erff(x); }
  __device__ double operator()(double x) const { return erf(x); }
};

}  // namespace

void unary(ExecContext& ctx, UnaryOp op, const View& x, const View& out) {
  visit_unary<Erf>(op, x.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{x});
  });
}

void binary(ExecContext& ctx, BinaryOp op, const View& a, const View& b, const View& out) {
  visit_binary<Erf>(op, out.dtype, [&](auto zero, const auto& f) {
    using T = decltype(zero);
    for_each_element(ctx, name(op), out.shape, Assign{f}, Writes<T>{out}, Reads<T>{a}, Reads<T>{b});
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
