// Folds give every thread the same bits, joined in the order that their header promises.

#include <vector>

#include "minidl/kernels/cuda/context.cuh"
#include "minidl/kernels/cuda/fold.cuh"
#include "tests/catch.h"
#include "tests/kernels/cuda/on_cuda.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;
using cuda::block_fold;
using cuda::Plus;
using cuda::warp_fold;

namespace {

constexpr int kBlocks = 3;

struct Best {
  float value;
  std::int32_t thread;
  double weight;  // so that it is sixteen bytes
};

/// The larger value; of equal ones the lower thread.
struct Better {
  __host__ __device__ Best operator()(const Best& a, const Best& b) const {
    const bool left = a.value > b.value || (a.value == b.value && a.thread < b.thread);
    return left ? a : b;
  }
};

// Per thread: the fold of its warp, of its block, the same of the doubled elements right after it,
// and who had the largest element.
template <int kThreads>
__global__ void fold_kernel(const float* x, float* warps, float* blocks, float* doubled,
                            std::int32_t* best) {
  const auto i = blockIdx.x * blockDim.x + threadIdx.x;
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  warps[i] = warp_fold(x[i], Plus{});
  blocks[i] = block_fold<kThreads>(x[i], Plus{});
  doubled[i] = block_fold<kThreads>(2 * x[i], Plus{});
  best[i] = block_fold<kThreads>(Best{x[i], thread, double{x[i]}}, Better{}).thread;
}

// The sum of 32 numbers as halves of a tree.
float tree_sum(std::vector<float> values) {
  for (std::size_t half = values.size() / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) values[i] += values[i + half];
  }
  return values[0];
}

template <int kThreads>
void check_folds() {
  ExecContext ctx = test_context();
  const Shape shape{kBlocks * kThreads};
  Draw draw(-1, 1);
  // Few different numbers, so that the largest comes several times.
  const TestTensor x = TestTensor(f32, shape).fill([&] { return std::round(draw() * 7) / 7; });
  const TestTensor warps(f32, shape);
  const TestTensor blocks(f32, shape);
  const TestTensor doubled(f32, shape);
  const TestTensor best(i32, shape);
  launch(cuda::linear_launch(ctx, "fold", kBlocks, kThreads), fold_kernel<kThreads>,
         x.view().ptr<float>(), warps.view().ptr<float>(), blocks.view().ptr<float>(),
         doubled.view().ptr<float>(), best.view().ptr<std::int32_t>());
  for (std::int64_t block = 0; block < kBlocks; ++block) {
    std::vector<float> sums;
    std::int64_t largest = 0;  // the first of them
    for (std::int64_t i = 0; i < kThreads; i += 32) {
      std::vector<float> warp;
      for (std::int64_t lane = 0; lane < 32; ++lane) {
        warp.push_back(static_cast<float>(x.get(block * kThreads + i + lane)));
        if (x.get(block * kThreads + i + lane) > x.get(block * kThreads + largest)) {
          largest = i + lane;
        }
      }
      sums.push_back(tree_sum(warp));
    }
    float sum = sums[0];
    for (std::size_t i = 1; i < sums.size(); ++i) sum += sums[i];
    for (std::int64_t i = 0; i < kThreads; ++i) {
      INFO(kThreads << " threads, block " << block << " thread " << i);
      const std::int64_t at = block * kThreads + i;
      if (warps.get(at) != sums[static_cast<std::size_t>(i / 32)]) {
        CHECK(warps.get(at) == sums[static_cast<std::size_t>(i / 32)]);
      }
      if (blocks.get(at) != sum) CHECK(blocks.get(at) == sum);
      if (doubled.get(at) != 2 * sum) CHECK(doubled.get(at) == 2 * sum);
      const auto winner = static_cast<double>(largest);
      if (best.get(at) != winner) CHECK(best.get(at) == winner);
    }
  }
}

}  // namespace

TEST_CASE("folds of warps and blocks, one after the other", "[fold]") {
  if (!on_cuda_or_skip()) return;
  INFO("MINIDL_TEST_SEED=" << test_seed());
  check_folds<32>();
  check_folds<64>();
  check_folds<96>();
  check_folds<256>();
  check_folds<1024>();
}
