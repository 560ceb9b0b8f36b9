#include "minidl/kernels/random.h"

#include "minidl/kernels/cpu/draw_row.h"
#include "minidl/kernels/cpu/rows.h"
#include "minidl/kernels/draws.h"

namespace minidl::kernels::cpu {
namespace {

// out = f(x, number). Operand 0 of the nest keeps its loops in logical row-major order and counts
// the elements.
template <class T, class Draw, class F>
void draw_elements(RandomKey key, const View& x, const View& out, const F& f) {
  const LoopNest<3> nest(out.shape, {contiguous_strides(out.shape), x.strides, out.strides});
  const std::int64_t x_step = nest.inner_stride(1);
  const std::int64_t out_step = nest.inner_stride(2);
  for_each_row(nest, kGrainExp, [&](const auto& at, std::int64_t row_length) {
    draw_row<Draw>(key, at[0], row_length,
                   [&](std::int64_t i, std::int64_t count, const float* numbers) {
                     const T* from = x.ptr<T>() + at[1] + i * x_step;
                     T* to = out.ptr<T>() + at[2] + i * out_step;
                     if (x_step == 1 && out_step == 1) {
                       for (std::int64_t k = 0; k < count; ++k) to[k] = f(from[k], numbers[k]);
                     } else {
                       for (std::int64_t k = 0; k < count; ++k) {
                         to[k * out_step] = f(from[k * x_step], numbers[k]);
                       }
                     }
                   });
  });
}

}  // namespace

void uniform(ExecContext&, RandomKey key, double low, double high, const View& out) {
  visit_float("uniform", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T start = static_cast<T>(low);
    const T width = static_cast<T>(high - low);
    draw_elements<T, UniformDraw>(key, out, out, [=](T, float u) { return start + width * T{u}; });
  });
}

void normal(ExecContext&, RandomKey key, double mean, double deviation, const View& out) {
  visit_float("normal", out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T centre = static_cast<T>(mean);
    const T scale = static_cast<T>(deviation);
    draw_elements<T, NormalDraw>(key, out, out, [=](T, float z) { return centre + scale * T{z}; });
  });
}

void dropout(ExecContext&, RandomKey key, double p, const View& x, const View& out) {
  visit_float("dropout", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    draw_elements<T, UniformDraw>(key, x, out, DropoutRule<T>(p));
  });
}

}  // namespace minidl::kernels::cpu
