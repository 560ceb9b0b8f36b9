// Intrinsics that tests/emu/cuda supplies to kernels, named barriers, register budgets.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "device.cuh"
#include "minidl/kernels/cuda/ptx/barrier.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

constexpr unsigned kAll = 0xffffffff;

__global__ void shuffles(const std::uint32_t* in, std::uint32_t* out) {
  const unsigned t = threadIdx.x, lane = t % 32;
  const std::uint32_t x = in[t];
  std::uint32_t* o = out + t * 14;
  *o++ = __shfl_sync(kAll, x, static_cast<int>(lane * 7 % 32));
  *o++ = __shfl_sync(kAll, x, 11, 8);
  *o++ = __shfl_xor_sync(kAll, x, 5);
  *o++ = __shfl_xor_sync(kAll, x, 20, 16);
  *o++ = __shfl_up_sync(kAll, x, 3);
  *o++ = __shfl_up_sync(kAll, x, 3, 8);
  *o++ = __shfl_down_sync(kAll, x, 9);
  *o++ = __shfl_down_sync(kAll, x, 2, 4);
  *o++ = __ballot_sync(kAll, static_cast<int>(x & 1));
  *o++ = __any_sync(kAll, x % 64 == 0) != 0;
  *o++ = __all_sync(kAll, x != 5) != 0;
  *o++ = static_cast<std::uint32_t>(__syncthreads_count(static_cast<int>(x & 1)));
  *o++ = __syncthreads_and(x != 5) != 0;
  *o++ = __syncthreads_or(x % 64 == 0) != 0;
}

__global__ void integers(const std::uint32_t* in, std::uint32_t* out) {
  const unsigned t = threadIdx.x;
  const std::uint32_t x = in[t], y = in[t + 64];
  const int a = static_cast<int>(x), b = static_cast<int>(y);
  std::uint32_t* o = out + t * 14;
  *o++ = static_cast<std::uint32_t>(__popc(x));
  *o++ = static_cast<std::uint32_t>(__clz(a >> (t % 33)));
  *o++ = static_cast<std::uint32_t>(__ffs(a & static_cast<int>(0xffffffffU << t % 32)));
  *o++ = __brev(x);
  *o++ = __umulhi(x, y);
  *o++ = static_cast<std::uint32_t>(__mulhi(a, b));
  *o++ = static_cast<std::uint32_t>(__umul64hi(0x9e3779b97f4a7c15ULL * x, 0xda942042e4dd58b5ULL));
  *o++ = static_cast<std::uint32_t>(__dp4a(a, b, 7));
  *o++ = __funnelshift_l(x, y, t);
  *o++ = __funnelshift_r(x, y, t);
  *o++ = __byte_perm(x, y, x >> 16);
  *o++ = static_cast<std::uint32_t>(min(a, b));
  *o++ = max(x, y);
  *o++ = static_cast<std::uint32_t>(__popcll(std::uint64_t{x} << 32 | y));
}

__global__ void floats(const std::uint32_t* in, std::uint32_t* out) {
  const unsigned t = threadIdx.x;
  const std::uint32_t x = in[t];
  const float f = static_cast<float>(static_cast<int>(x) >> 20) + 0.5F;
  const float any = __uint_as_float(x & 0xc7ffffff);  // finite in f16, too
  std::uint32_t* o = out + t * 13;
  *o++ = static_cast<std::uint32_t>(__float2int_rn(f));
  *o++ = static_cast<std::uint32_t>(__float2int_rz(f + 0.3F));
  *o++ = static_cast<std::uint32_t>(__float2int_rd(f + 0.3F));
  *o++ = static_cast<std::uint32_t>(__float2int_ru(f + 0.3F));
  *o++ = __float_as_uint(__saturatef(static_cast<float>(static_cast<int>(x)) * 3e-10F));
  *o++ = __float_as_uint(__fmaf_rn(f, 1.0000001F, -f));
  *o++ = __float_as_uint(__fsqrt_rn(static_cast<float>(x)));
  *o++ = __float_as_uint(__fdiv_rn(f, 3.0F));
  *o++ = __float_as_uint(__frcp_rn(f));
  *o++ = __half_as_ushort(__float2half_rn(any));
  *o++ = __bfloat16_as_ushort(__float2bfloat16_rn(any));
  const __half2 h = __floats2half2_rn(static_cast<float>(x & 1023) / 512 - 1,
                                      static_cast<float>(x >> 22) / 512 - 1);
  const __half2 product = __hfma2(h, h, h);
  *o++ = __half_as_ushort(__low2half(product));
  *o++ = __half_as_ushort(__high2half(product));
}

__global__ void atomics(const std::uint32_t* in, std::uint32_t* out) {
  const std::uint32_t x = in[threadIdx.x];
  atomicAdd(out, x);
  atomicMax(out + 1, x);
  atomicMin(out + 2, x);
  atomicOr(out + 3, 1U << (x & 31));
  atomicAnd(out + 4, ~(1U << (x & 31)));
  atomicXor(out + 5, x);
  atomicSub(out + 6, x);
  atomicInc(out + 7, 40);
  atomicCAS(out + 8, 0xffffffffU, 5U);
}

__global__ void fast_math(const float* in, float* out) {
  const float x = in[threadIdx.x];
  float* o = out + threadIdx.x * 6;
  o[0] = __expf(x);
  o[1] = __logf(2 + x);
  o[2] = rsqrtf(2 + x);
  o[3] = __fdividef(1, 2 + x);
  o[4] = __sinf(x);
  o[5] = __powf(2 + x, 1.5F);
}

// Warps 0 and 1 pass data to warps 2 and 3 through two named barriers; warp 4 goes its own way.
__global__ void named_barriers(std::uint32_t* out) {
  MINIDL_SHARED(std::uint32_t, s, [64]);
  const std::uint32_t t = threadIdx.x;
  for (std::uint32_t round = 0; round < 3; ++round) {
    if (t < 64) {
      if (round > 0) barrier_sync(2, 128);
      s[t] = t * 10 + round;
      barrier_arrive(1, 128);
    } else if (t < 128) {
      barrier_sync(1, 128);
      out[round * 64 + t - 64] = s[127 - t];
      if (round < 2) barrier_arrive(2, 128);
    }
  }
  if (t >= 128) out[192 + t - 128] = t;
}

__global__ void __launch_bounds__(384, 1) register_budgets(std::uint32_t* out) {
  std::uint32_t value = 0;
  if (threadIdx.x < 128) {
    decrease_registers<40>();
    value = threadIdx.x * 3;
  } else {
    increase_registers<232>();
    value = threadIdx.x * 5;
  }
  out[threadIdx.x] = value;
}

}  // namespace

void add_basic(Cases& cases) {
  const auto words = [&](const char* name, auto* kernel, std::size_t inputs, std::size_t outputs) {
    cases.push_back({name, 0, [=] {
                       const Buffer<std::uint32_t> in(noise(inputs, 5)), out(outputs);
                       launch(blocks(name, 1, 64), kernel, in.get(), out.get());
                       return out.words();
                     }});
  };
  words("shuffles, votes, barriers that count", shuffles, 64, 64 * 14);
  words("integer intrinsics", integers, 128, 64 * 14);
  words("float intrinsics and conversions", floats, 64, 64 * 13);
  words("atomics", atomics, 64, 9);
  cases.push_back({"fast math", 1e-5, [] {
                     const Buffer<float> in(numbers<float>(256, 6, false)), out(256 * 6);
                     launch(blocks("fast math", 1, 256), fast_math, in.get(), out.get());
                     return out.words();
                   }});
  cases.push_back({"named barriers", 0, [] {
                     const Buffer<std::uint32_t> out(224);
                     launch(blocks("named barriers", 1, 160), named_barriers, out.get());
                     return out.words();
                   }});
  cases.push_back({"setmaxnreg", 0, [] {
                     const Buffer<std::uint32_t> out(384);
                     launch(blocks("setmaxnreg", 1, 384), register_budgets, out.get());
                     return out.words();
                   }});
}

std::string why_no_device() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    return driver == 0 ? "no NVIDIA driver is installed" : cudaGetErrorString(status);
  }
  if (count == 0) return "the driver lists none";
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "cudaDeviceGet…");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "cudaDeviceGet…");
  if (major == 9 && minor == 0) return "";
  return "compute capability " + std::to_string(major) + "." + std::to_string(minor) +
         ", the cases need 9.0";
}

std::string describe_device() {
  cudaDeviceProp properties;
  int driver = 0, runtime = 0;
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  return std::string(properties.name) + ", driver for CUDA " + std::to_string(driver / 1000) + "." +
         std::to_string(driver % 1000 / 10) + ", built with " + std::to_string(runtime / 1000) +
         "." + std::to_string(runtime % 1000 / 10);
}

}  // namespace minidl::conformance
