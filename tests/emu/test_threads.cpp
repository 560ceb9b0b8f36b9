// Threads, warps and blocks: built-in variables, barriers, votes, shuffles, atomics, intrinsics.
// Each kernel's output is compared with what the CUDA programming guide says, written down as plain
// loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "minidl/kernels/cuda/ptx/barrier.cuh"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;

namespace {

constexpr unsigned kAll = 0xffffffff;

using Words = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("threadIdx, blockIdx, blockDim and gridDim", "[threads]") {
  struct Seen {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
  };
  constexpr unsigned kThreads = 2 * 3 * 4, kBlocks = 3 * 2 * 2;
  std::vector<Seen> seen(kThreads * kBlocks);
  launch(
      {"indices", dim3(3, 2, 2), dim3(2, 3, 4)},
      +[](Seen* out) {
        const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        out[block * blockDim.x * blockDim.y * blockDim.z + thread] = {threadIdx, blockIdx, blockDim,
                                                                      gridDim};
      },
      seen.data());
  for (unsigned i = 0; i < seen.size(); ++i) {
    const unsigned thread = i % kThreads, block = i / kThreads;
    REQUIRE(seen[i].thread.x == thread % 2);
    REQUIRE(seen[i].thread.y == thread / 2 % 3);
    REQUIRE(seen[i].thread.z == thread / 6);
    REQUIRE(seen[i].block.x == block % 3);
    REQUIRE(seen[i].block.z == block / 6);
    REQUIRE(seen[i].block_dim.z == 4);
    REQUIRE(seen[i].grid_dim.y == 2);
  }
}

TEST_CASE("a barrier orders what comes before and after it", "[threads]") {
  std::vector<int> out(1000);
  launch(
      blocks("exchange", 1, 1000),
      +[](int* p) {
        MINIDL_SHARED(int, s, [1000]);
        const int me = static_cast<int>(threadIdx.x);
        for (int round = 0; round < 3; ++round) {
          s[me] = me + round;
          __syncthreads();
          p[me] = s[999 - me];
          __syncthreads();
        }
      },
      out.data());
  for (int i = 0; i < 1000; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 999 - i + 2);
}

TEST_CASE("named barriers join parts of a block", "[threads]") {
  // Warps 0 and 1 hand numbers to warps 2 and 3, which answer; the other warps are not concerned.
  std::vector<int> out(64);
  launch(
      blocks("named", 1, 256),
      +[](int* p) {
        using namespace minidl::kernels::cuda::ptx;
        MINIDL_SHARED(int, s, [64]);
        const unsigned t = threadIdx.x;
        if (t < 64) {
          s[t] = static_cast<int>(t);
          barrier_arrive(1, 128);  // does not wait
          barrier_sync(2, 128);
          p[t] = s[t];
        } else if (t < 128) {
          barrier_sync(1, 128);
          s[t - 64] *= 2;
          barrier_arrive(2, 128);
        }
      },
      out.data());
  for (int i = 0; i < 64; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 2 * i);
}

TEST_CASE("__syncthreads_count, _and, _or", "[threads]") {
  std::vector<int> out(3 * 96);
  launch(
      blocks("votes", 1, 96),
      +[](int* p) {
        int* mine = p + 3 * threadIdx.x;
        mine[0] = __syncthreads_count(threadIdx.x % 3 == 0);
        mine[1] = __syncthreads_and(threadIdx.x < 95) != 0;
        mine[2] = __syncthreads_or(threadIdx.x == 95) != 0;
      },
      out.data());
  for (std::size_t i = 0; i < out.size(); i += 3) {
    REQUIRE(out[i] == 32);
    REQUIRE(out[i + 1] == 0);
    REQUIRE(out[i + 2] == 1);
  }
}

TEST_CASE("shuffles, every width and distance", "[threads]") {
  Words out(4 * 32);
  for (const int width : {2, 4, 8, 16, 32}) {
    for (int d = 0; d < 32; ++d) {
      launch(
          blocks("shuffles", 1, 32),
          +[](std::uint32_t* p, int w, int by) {
            const std::uint32_t lane = threadIdx.x;
            p[lane] = __shfl_sync(kAll, lane, by, w);
            p[32 + lane] = __shfl_xor_sync(kAll, lane, by, w);
            p[64 + lane] = __shfl_up_sync(kAll, lane, static_cast<unsigned>(by), w);
            p[96 + lane] = __shfl_down_sync(kAll, lane, static_cast<unsigned>(by), w);
          },
          out.data(), width, d);
      for (int lane = 0; lane < 32; ++lane) {
        const int segment = lane / width * width, end = segment + width;
        const auto at = [&](int what) {
          return static_cast<int>(out[static_cast<std::size_t>(what * 32 + lane)]);
        };
        REQUIRE(at(0) == segment + d % width);
        // From a later segment a lane keeps its own value; from an earlier one it may read.
        REQUIRE(at(1) == ((lane ^ d) < end ? lane ^ d : lane));
        REQUIRE(at(2) == (lane - d >= segment ? lane - d : lane));
        REQUIRE(at(3) == (lane + d < end ? lane + d : lane));
      }
    }
  }
}

TEST_CASE("shuffles of doubles, and of part of a warp", "[threads]") {
  std::vector<double> out(32, -1);
  launch(
      blocks("doubles", 1, 32),
      +[](double* p) {
        const unsigned lane = threadIdx.x;
        if (lane % 2 == 1)
          p[lane] = __shfl_sync(0xaaaaaaaa, 0.1 * lane, static_cast<int>(lane) ^ 2);
      },
      out.data());
  for (int i = 0; i < 32; ++i)
    REQUIRE(out[static_cast<std::size_t>(i)] == (i % 2 ? 0.1 * (i ^ 2) : -1));
}

TEST_CASE("ballot, any and all, in a broken last warp, too", "[threads]") {
  Words out(3 * 40);
  launch(
      blocks("votes", 1, 40),
      +[](std::uint32_t* p) {
        std::uint32_t* mine = p + 3 * threadIdx.x;
        mine[0] = __ballot_sync(kAll, threadIdx.x % 5 == 0);
        mine[1] = __any_sync(kAll, threadIdx.x == 37) != 0;
        mine[2] = __all_sync(kAll, threadIdx.x >= 32) != 0;
      },
      out.data());
  for (unsigned t = 0; t < 40; ++t) {
    const bool second = t >= 32;
    REQUIRE(out[3 * t] == (second ? 0b1000U : 0x42108421U));
    REQUIRE(out[3 * t + 1] == (second ? 1 : 0));
    REQUIRE(out[3 * t + 2] == (second ? 1 : 0));
  }
}

TEST_CASE("atomics of all threads of all blocks", "[threads]") {
  unsigned n[9] = {0, 1000000, 0, 0xffffffff, 0, 0, 7, 5, 0};
  float f = 0;
  double d = 0;
  std::vector<unsigned> taken(512);
  launch(
      blocks("atomics", 4, 128),
      +[](unsigned* p, float* pf, double* pd, unsigned* old) {
        const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
        old[i] = atomicAdd(&p[0], 1U);
        atomicSub(&p[1], i);
        atomicMax(&p[2], i);
        atomicAnd(&p[3], ~(1U << i % 31));
        atomicOr(&p[4], 1U << i % 30);
        atomicXor(&p[5], i);
        atomicExch(&p[6], 9U);
        atomicCAS(&p[7], 5U, 100U + i);
        atomicInc(&p[8], 9U);
        atomicAdd(pf, 0.5F);
        atomicAdd(pd, 0.25);
      },
      n, &f, &d, taken.data());
  CHECK(n[0] == 512);
  CHECK(n[1] == 1000000 - 512 * 511 / 2);
  CHECK(n[2] == 511);
  CHECK(n[3] == 0x80000000);
  CHECK(n[4] == 0x3fffffff);
  CHECK(n[5] == 0);  // the exclusive or of 0 to 511
  CHECK(n[6] == 9);
  CHECK((n[7] >= 100 && n[7] < 612));
  CHECK(n[8] == 512 % 10);
  CHECK(f == 256);
  CHECK(d == 128);
  CHECK(std::set<unsigned>(taken.begin(), taken.end()).size() == 512);
}

TEST_CASE("bit and integer intrinsics", "[threads]") {
  INFO(seed_text());
  auto engine = random_engine();
  Words in = random_words(64, engine);
  in[0] = 0;
  in[1] = 0xffffffff;
  in[2] = 0x80000000;
  constexpr std::size_t kResults = 8;
  Words out(kResults * 64);
  launch(
      blocks("bits", 1, 64),
      +[](const std::uint32_t* p, std::uint32_t* q) {
        const std::uint32_t x = p[threadIdx.x], y = p[threadIdx.x ^ 1];
        std::uint32_t* mine = q + 8 * threadIdx.x;
        mine[0] = static_cast<std::uint32_t>(__popc(x));
        mine[1] = static_cast<std::uint32_t>(__clz(static_cast<int>(x)));
        mine[2] = static_cast<std::uint32_t>(__ffs(static_cast<int>(x)));
        mine[3] = __brev(x);
        mine[4] = __umulhi(x, y);
        mine[5] = static_cast<std::uint32_t>(__dp4a(static_cast<int>(x), static_cast<int>(y), 11));
        mine[6] = __funnelshift_l(x, y, 13);
        mine[7] = __byte_perm(x, y, 0x7412);
      },
      static_cast<const std::uint32_t*>(in.data()), out.data());
  for (std::size_t t = 0; t < 64; ++t) {
    const std::uint32_t x = in[t], y = in[t ^ 1];
    unsigned ones = 0, leading = 32, first = 0, reversed = 0, dot = 11;
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((x >> bit & 1) == 0) continue;
      ++ones;
      leading = 31 - bit;
      if (first == 0) first = bit + 1;
      reversed |= 0x80000000U >> bit;
    }
    for (unsigned i = 0; i < 4; ++i) {
      const auto byte = [&](std::uint32_t v) {
        return static_cast<std::int8_t>(v >> 8 * i & 0xff);
      };
      dot += static_cast<unsigned>(byte(x) * byte(y));
    }
    const std::uint32_t* mine = &out[kResults * t];
    REQUIRE(mine[0] == ones);
    REQUIRE(mine[1] == leading);
    REQUIRE(mine[2] == first);
    REQUIRE(mine[3] == reversed);
    REQUIRE(mine[4] == static_cast<std::uint32_t>(std::uint64_t{x} * y / 4294967296U));
    REQUIRE(mine[5] == dot);
    REQUIRE(mine[6] == (y << 13 | x >> 19));
    REQUIRE(mine[7] == ((x >> 16 & 0xff) | (x & 0xff00) | (y & 0xff) << 16 | (y & 0xff000000)));
  }
}

TEST_CASE("float intrinsics", "[threads]") {
  const float values[] = {-2.5F, -0.0F, 0.5F, 1.5F, 2.5F, 1e-30F, 3e20F, NAN};
  for (const float value : values) {
    float out[4];
    int rounded[2];
    launch(
        blocks("floats", 1, 1),
        +[](float x, float* p, int* q) {
          p[0] = __saturatef(x);
          p[1] = __int_as_float(__float_as_int(x));
          p[2] = rsqrtf(fabsf(x));
          p[3] = __fmaf_rn(x, x, -x * x);
          q[0] = x < 100 ? __float2int_rn(x) : 0;
          q[1] = min(7, max(-1, x < 100 ? __float2int_rz(x) : 0));
        },
        value, out, rounded);
    INFO(value);
    CHECK(out[0] == (value > 1 ? 1.0F : value > 0 ? value : 0.0F));
    CHECK(std::memcmp(&out[1], &value, 4) == 0);
    if (value < 100 && value != 0) {
      CHECK(rounded[0] == static_cast<int>(std::rint(value)));  // halves to even
      CHECK(rounded[1] == std::clamp(static_cast<int>(value), -1, 7));
      CHECK(out[2] == Approx(1 / std::sqrt(std::fabs(double{value}))));
    }
  }
  __half fused[2];
  launch(
      blocks("half", 1, 1),
      +[](__half* p) {
        // 1 + 2^-10 squared is 1 + 2^-9 + 2^-20, whose last bit survives only if nothing is
        // rounded.
        const __half x = __float2half(1 + 1.0F / 1024);
        p[0] = __hfma(x, x, __float2half(-1 - 1.0F / 512));
        p[1] = __hfma2(__half2(x, x), __half2(x, x), __half2(x, x)).y;
      },
      fused);
  CHECK(__half2float(fused[0]) == 1.0F / 1048576);
  CHECK(__half2float(fused[1]) == 2 + 1.0F / 256);  // 2 + 3/1024 and a bit, rounded up
}
