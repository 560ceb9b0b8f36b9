// Mistakes with barriers and warps, hangs and crashes; and correct kernels.
#include <cmath>

#include "bugs.h"
#include "minidl/kernels/cuda/ptx/barrier.cuh"
#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/mma.cuh"
#include "tests/emu/support.h"

namespace emu_test::bugs {
namespace {

using namespace minidl::kernels::cuda::ptx;

constexpr unsigned kAll = 0xffffffff;

// Any work that the compiler keeps.
MINIDL_DEVICE void touch(float* p) {
  p[threadIdx.x] = static_cast<float>(threadIdx.x);
}

}  // namespace

void barrier_in_branch() {
  std::vector<float> out(64);
  just(
      1, 64,
      +[](float* p) {
        if (threadIdx.x < 32) {
          __syncthreads();
          touch(p);
        } else {
          __syncwarp();
        }
      },
      out.data());
}

void return_before_barrier() {
  std::vector<float> out(64);
  just(
      1, 64,
      +[](float* p) {
        if (threadIdx.x % 32 == 7) return;
        __syncwarp(0xffffff7f);
        if (threadIdx.x < 64) touch(p);
        // By now the others have ended, in any order of lanes: two collectives have passed.
        __syncwarp(0xffffff7f);
        __syncthreads();
      },
      out.data());
}

void return_while_waiting() {
  std::vector<float> out(64);
  just(
      1, 64,
      +[](float* p) {
        touch(p);
        if (threadIdx.x == 40) return;
        __syncthreads();
      },
      out.data());
}

void wrong_barrier_count() {
  just(
      1, 64, +[] { barrier_sync(1, threadIdx.x < 32 ? 64 : 32 + 64); });
}

void barrier_waits_for_too_many() {
  just(
      1, 64, +[] { barrier_sync(1, 96); });
}

void odd_barrier_count() {
  just(
      1, 64, +[] { barrier_sync(1, 33); });
}

void shuffle_in_branch() {
  std::vector<float> out(32);
  just(
      1, 32,
      +[](float* p) {
        if (threadIdx.x < 16) p[threadIdx.x] = __shfl_sync(kAll, p[threadIdx.x], 0);
      },
      out.data());
}

void shuffle_from_inactive() {
  std::vector<float> out(32);
  just(
      1, 32,
      +[](float* p) {
        if (threadIdx.x < 16) p[threadIdx.x] = __shfl_sync(0xffff, p[threadIdx.x], 20);
      },
      out.data());
}

void mask_without_caller() {
  just(
      1, 32, +[] { __syncwarp(0xffff); });
}

void different_collectives() {
  just(
      1, 32, +[] {
        if (threadIdx.x < 16) {
          __syncwarp();
        } else {
          __any_sync(kAll, 1);
        }
      });
}

void mma_in_partial_warp() {
  std::vector<float> out(32);
  just(
      1, 24,
      +[](float* p) {
        float d[4] = {};
        const std::uint32_t a[4] = {}, b[2] = {};
        mma_m16n8k16(d, a, b, __half{});
        p[threadIdx.x] = d[0];
      },
      out.data());
}

namespace {

int recurse(int depth, volatile int* sink);
int (*volatile recursion)(int, volatile int*) = recurse;
int recurse(int depth, volatile int* sink) {
  volatile char frame[1024];
  frame[depth % 1024] = 1;
  *sink = frame[0];
  return depth == 0 ? *sink : recursion(depth - 1, sink) + frame[1];
}

}  // namespace

void stack_overflow() {
  int sink = 0;
  just(
      1, 1, +[](int* p) { *p = recurse(100000, p); }, &sink);
}

namespace {

__global__ void wait_for(unsigned* flags, unsigned distance) {
  if (threadIdx.x == 0) {
    atomicExch(&flags[blockIdx.x], 1U);
    const unsigned other = (blockIdx.x + distance) % gridDim.x;
    while (atomicAdd(&flags[other], 0U) == 0) __nanosleep(100);
  }
  __syncthreads();
}

}  // namespace

void wait_for_later_block() {
  std::vector<unsigned> flags(2);
  just(2, 64, wait_for, flags.data(), 1U);
}

void wait_for_earlier_block() {
  std::vector<unsigned> flags(4);
  just(
      4, 64,
      +[](unsigned* f) {
        atomicExch(&f[blockIdx.x], 1U);
        while (blockIdx.x > 0 && atomicAdd(&f[blockIdx.x - 1], 0U) == 0) {
        }
      },
      flags.data());
}

void read_until_written() {
  int flag = 0;
  just(
      2, 1,
      +[](int* f) {
        auto* seen = static_cast<volatile int*>(f);
        if (blockIdx.x == 1) *seen = 1;
        while (*seen == 0) {
        }
      },
      &flag);
}

void trap() {
  just(
      1, 1, +[] { __trap(); });
}

}  // namespace emu_test::bugs

namespace emu_test {

using namespace minidl::kernels::cuda::ptx;

namespace {

void correct_block() {
  std::vector<float> in(64, 1), out(64, NAN);
  for (std::size_t i = 0; i < 64; ++i) in[i] = static_cast<float>(i);
  launch(
      blocks("correct", 3, 64),
      +[](const float* p, float* q) {
        MINIDL_SHARED(float, s, [64]);
        for (unsigned i = 0; i < 3; ++i) {
          cp_async<4>(shared_address(s + threadIdx.x), p + threadIdx.x);
          cp_async_commit();
          cp_async_wait<0>();
          barrier_sync(1, 64);
          q[threadIdx.x] = __shfl_xor_sync(0xffffffffU, s[63 - threadIdx.x], 1);
          __syncthreads();
        }
        if (threadIdx.x >= 32) barrier_arrive(2, 64);
        if (threadIdx.x < 32) barrier_sync(2, 64);
      },
      static_cast<const float*>(in.data()), out.data());
  for (std::size_t i = 0; i < 64; ++i) {
    if (out[i] != static_cast<float>((63 - i) ^ 1)) wrong_result();
  }
}

// The last block to come adds up what the others left: no block waits.
void correct_last_block() {
  std::vector<unsigned> sums(9);
  launch(
      blocks("correct", 8, 32),
      +[](unsigned* s) {
        if (threadIdx.x > 0) return;
        s[blockIdx.x] = blockIdx.x;
        __threadfence();
        if (atomicInc(&s[8], 7) == 7) {
          for (unsigned i = 0; i < 8; ++i) s[8] += s[i];
        }
      },
      sums.data());
  if (sums[8] != 28) wrong_result();
}

// Threads of a block may wait for each other.
void correct_lock() {
  std::vector<unsigned> data(2);
  launch(
      blocks("correct", 1, 64),
      +[](unsigned* d) {
        while (atomicCAS(&d[0], 0U, 1U) != 0) __nanosleep(20);
        ++d[1];
        atomicExch(&d[0], 0U);
      },
      data.data());
  if (data[1] != 64) wrong_result();
}

}  // namespace

std::vector<std::pair<const char*, void (*)()>> correct_hopper_kernels();
std::vector<std::pair<const char*, void (*)()>> correct_copy_kernels();

std::vector<std::pair<const char*, void (*)()>> correct_kernels() {
  std::vector<std::pair<const char*, void (*)()>> kernels{
      {"block", correct_block}, {"last block", correct_last_block}, {"lock", correct_lock}};
  for (const auto& more : {correct_hopper_kernels(), correct_copy_kernels()}) {
    kernels.insert(kernels.end(), more.begin(), more.end());
  }
  return kernels;
}

}  // namespace emu_test
