// The L2 norm on the kernels of reduction.cuh, which says who does what. Squares and sums are f64.
// Each element is read once: memory bound where f64 is not slow.
#include "minidl/kernels/cuda/reduction.cuh"
#include "minidl/kernels/norm.h"

namespace minidl::kernels::cuda {
namespace {

template <class T>
struct SumOfSquares {
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 64;
  using Local = NoLocal;
  using Block = double;
  using Total = double;

  const T* inputs[1];
  T* out;

  __device__ Local local(std::int64_t) const { return {}; }
  __device__ double start(const T (&x)[1], std::int64_t, Local) const {
    return static_cast<double>(x[0]) * static_cast<double>(x[0]);
  }
  __device__ void add(double& block, const T (&x)[1], std::int64_t index, Local local) const {
    block += start(x, index, local);
  }
  __device__ double nothing() const { return 0; }
  __device__ void flush(double block, int, double& total) const { total += block; }
  __device__ double join(double a, double b) const { return a + b; }
  __device__ void finish(double total, std::int64_t at) const {
    out[at] = static_cast<T>(sqrt(total));
  }
};

}  // namespace

void l2_norm(ExecContext& ctx, const View& x, const View& out) {
  visit_float("l2_norm", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    // A plan that folds every dimension.
    const FoldPlan<1> plan({}, {Strides{}, Strides{}}, x.shape, {x.strides});
    fold(ctx, "l2_norm", SumOfSquares<T>{{x.ptr<T>()}, out.ptr<T>()}, plan);
  });
}

}  // namespace minidl::kernels::cuda
