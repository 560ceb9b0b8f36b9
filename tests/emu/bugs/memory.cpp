// Mistakes with shared and global memory, and cp.async.
#include <cmath>

#include "bugs.h"
#include "minidl/kernels/cuda/ptx/cp_async.cuh"
#include "minidl/kernels/cuda/ptx/ldmatrix.cuh"
#include "tests/emu/support.h"

namespace emu_test::bugs {
namespace {

using namespace minidl::kernels::cuda::ptx;

// Launches a kernel that fills `out` with its threads' numbers, backwards, and checks that it did.
void reversed(void (*kernel)(float*), unsigned threads = 64) {
  std::vector<float> out(threads, NAN);
  launch(blocks("bug", 1, threads), kernel, out.data());
  for (unsigned i = 0; i < threads; ++i) {
    if (out[i] != static_cast<float>(threads - 1 - i)) wrong_result();
  }
}

}  // namespace

void missing_barrier() {
  reversed(+[](float* p) {
    MINIDL_SHARED(float, s, [64]);
    s[threadIdx.x] = static_cast<float>(threadIdx.x);
    p[threadIdx.x] = s[63 - threadIdx.x];
  });
}

void missing_second_barrier() {
  std::vector<float> out(64);
  just(
      1, 64,
      +[](float* p) {
        MINIDL_SHARED(float, s, [64]);
        for (unsigned i = 0; i < 2; ++i) {
          s[threadIdx.x] = static_cast<float>(i);
          __syncthreads();
          p[threadIdx.x] = s[63 - threadIdx.x];
        }
      },
      out.data());
}

void missing_syncwarp() {
  reversed(
      +[](float* p) {
        MINIDL_SHARED(float, s, [32]);
        s[threadIdx.x] = static_cast<float>(threadIdx.x);
        p[threadIdx.x] = s[31 - threadIdx.x];
      },
      32);
}

void uninitialised_shared() {
  reversed(+[](float* p) {
    MINIDL_SHARED(float, s, [64]);
    if (threadIdx.x < 63) s[threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncthreads();
    p[threadIdx.x] = s[63 - threadIdx.x];
  });
}

void shared_overflow() {
  std::vector<float> out(64);
  just(
      1, 64,
      +[](float* p) {
        MINIDL_SHARED(float, s, [64]);
        float* q = s;
        q[threadIdx.x + 1] = 1;
        __syncthreads();
        p[threadIdx.x] = q[threadIdx.x | 1];
      },
      out.data());
}

void ldmatrix_overflow() {
  just(
      1, 32, +[] {
        MINIDL_SHARED(std::uint32_t, s, [32 * 4]);
        for (unsigned i = threadIdx.x; i < 128; i += 32) s[i] = i;
        __syncwarp();
        std::uint32_t r[4];
        ldmatrix(r, shared_address(s) + 16 * threadIdx.x + 64);
      });
}

void too_much_static() {
  just(
      1, 32, +[] {
        MINIDL_SHARED(float, a, [8 * 1024]);
        MINIDL_SHARED(float, b, [4 * 1024 + 1]);
        a[threadIdx.x] = b[threadIdx.x] = 1;
      });
}

void global_overflow() {
  std::vector<float> out(63);
  just(
      1, 64, +[](float* p) { p[threadIdx.x] = 1; }, out.data());
}

void cp_async_overflow() {
  std::vector<float> in(6);
  just(
      1, 2,
      +[](const float* p) {
        MINIDL_SHARED(float, s, [8]);
        cp_async<16>(shared_address(s + 4 * threadIdx.x), p + 4 * threadIdx.x);
        cp_async_wait_all();
      },
      static_cast<const float*>(in.data()));
}

void cp_async_not_waited() {
  std::vector<float> in(128, 1), out(128, NAN);
  just(
      1, 32,
      +[](const float* p, float* q) {
        MINIDL_SHARED(float, s, [128]);
        cp_async<16>(shared_address(s + 4 * threadIdx.x), p + 4 * threadIdx.x);
        cp_async_commit();
        for (unsigned i = 0; i < 4; ++i) q[4 * threadIdx.x + i] = s[4 * threadIdx.x + i];
        cp_async_wait<0>();
      },
      static_cast<const float*>(in.data()), out.data());
  if (out != in) wrong_result();
}

void cp_async_forgotten() {
  std::vector<float> in(128, 1);
  just(
      1, 32,
      +[](const float* p) {
        MINIDL_SHARED(float, s, [128]);
        cp_async<16>(shared_address(s + 4 * threadIdx.x), p + 4 * threadIdx.x);
        cp_async_commit();
      },
      static_cast<const float*>(in.data()));
}

void cp_async_misaligned() {
  std::vector<float> in(128, 1);
  just(
      1, 16,
      +[](const float* p) {
        MINIDL_SHARED(float, s, [128]);
        cp_async<16>(shared_address(s + 4 * threadIdx.x + 1), p);
        cp_async_wait_all();
      },
      static_cast<const float*>(in.data()));
}

void cp_async_without_barrier() {
  std::vector<float> in(64, 1), out(64);
  just(
      1, 64,
      +[](const float* p, float* q) {
        MINIDL_SHARED(float, s, [64]);
        cp_async<4>(shared_address(s + threadIdx.x), p + threadIdx.x);
        cp_async_wait_all();
        q[threadIdx.x] = s[63 - threadIdx.x];
      },
      static_cast<const float*>(in.data()), out.data());
}

}  // namespace emu_test::bugs
