#include "minidl/kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kLanes = 8;
constexpr std::int64_t kBlock = 1 << 14;  // elements of a partial sum, whatever the threads are

template <class T>
double sum_of_squares(const T* x, std::int64_t count, std::int64_t step) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t k = 0; k < kLanes; ++k) {
      const double value = double{x[(i + k) * step]};
      lanes[k] += value * value;
    }
  }
  double sum = 0;
  for (; i < count; ++i) sum += double{x[i * step]} * double{x[i * step]};
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void l2_norm(ExecContext&, const View& x, const View& out) {
  visit_float("l2_norm", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const LoopNest<1> nest(x.shape, {x.strides});
    const std::int64_t step = nest.inner_stride(0);
    const std::int64_t count = x.numel();
    const std::int64_t blocks = (count + kBlock - 1) / kBlock;
    std::vector<double> sums(static_cast<std::size_t>(blocks));
    parallel_for(blocks, kGrain / kBlock, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        double sum = 0;
        walk_rows(nest, block * kBlock, std::min((block + 1) * kBlock, count),
                  [&](const auto& at, std::int64_t length) {
                    const T* first = x.ptr<T>() + at[0];
                    sum += step == 1 ? sum_of_squares(first, length, 1)
                                     : sum_of_squares(first, length, step);
                  });
        sums[static_cast<std::size_t>(block)] = sum;
      }
    });
    double total = 0;
    for (const double sum : sums) total += sum;
    *out.ptr<T>() = static_cast<T>(std::sqrt(total));
  });
}

}  // namespace minidl::kernels::cpu
