// ldmatrix, stmatrix and every shape of mma.sync.
#include "device.cuh"
#include "minidl/kernels/cuda/ptx/ldmatrix.cuh"
#include "minidl/kernels/cuda/ptx/mma.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

// Rows in any order: row i of memory is where lane 5 i + 3 says.
template <bool Transposed, int N>
__global__ void load_matrices(const std::uint32_t* in, std::uint32_t* out) {
  MINIDL_SHARED(std::uint32_t, s, [128]);
  const std::uint32_t lane = threadIdx.x;
  for (std::uint32_t i = lane; i < 128; i += 32) s[i] = in[i];
  __syncwarp();
  std::uint32_t r[N];
  ldmatrix<Transposed>(r, shared_address(s + 4 * ((lane * 5 + 3) % 32)));
  for (int i = 0; i < N; ++i) out[lane * N + i] = r[i];
}

template <bool Transposed, int N>
__global__ void store_matrices(const std::uint32_t* in, std::uint32_t* out) {
#if MINIDL_HAS_SM90A
  MINIDL_SHARED(std::uint32_t, s, [128]);
  const std::uint32_t lane = threadIdx.x;
  for (std::uint32_t i = lane; i < 128; i += 32) s[i] = 0xa5a5a5a5;
  __syncwarp();
  std::uint32_t r[N];
  for (int i = 0; i < N; ++i) r[i] = in[lane * N + i];
  stmatrix<Transposed>(shared_address(s + 4 * ((lane * 5 + 3) % 32)), r);
  __syncwarp();
  for (std::uint32_t i = lane; i < 128; i += 32) out[i] = s[i];
#else
  __trap();
#endif
}

// Products of 16 warps, whose fragments come as words.
template <class T, int K, int A, int B, class Sum>
__global__ void products(const std::uint32_t* a, const std::uint32_t* b, const Sum* c, Sum* d) {
  const std::uint32_t t = blockIdx.x * 32 + threadIdx.x;
  std::uint32_t fa[A], fb[B];
  Sum sum[4];
  for (std::uint32_t i = 0; i < A; ++i) fa[i] = a[t * A + i];
  for (std::uint32_t i = 0; i < B; ++i) fb[i] = b[t * B + i];
  for (std::uint32_t i = 0; i < 4; ++i) sum[i] = c[t * 4 + i];
  if constexpr (K == 32) mma_m16n8k32(sum, fa, fb, T{});
  if constexpr (K == 16) mma_m16n8k16(sum, fa, fb, T{});
  if constexpr (K == 8) mma_m16n8k8(sum, fa, fb, T{});
  for (std::uint32_t i = 0; i < 4; ++i) d[t * 4 + i] = sum[i];
}

template <bool Transposed, int N>
void add_moves(Cases& cases) {
  const std::string what = "matrix x" + std::to_string(N) + (Transposed ? " transposed" : "");
  cases.push_back({"ld" + what, 0, [] {
                     const Buffer<std::uint32_t> in(noise(128, 8)), out(32 * N);
                     launch(blocks("ldmatrix", 1, 32), load_matrices<Transposed, N>, in.get(),
                            out.get());
                     return out.words();
                   }});
  cases.push_back({"st" + what, 0, [] {
                     const Buffer<std::uint32_t> in(noise(32 * N, 9)), out(128);
                     launch(blocks("stmatrix", 1, 32), store_matrices<Transposed, N>, in.get(),
                            out.get());
                     return out.words();
                   }});
}

// T: the operand type, S: what an element is stored as.
template <class T, class S, int K, class Sum = float>
void add_products(Cases& cases, const std::string& name) {
  constexpr int kPer = 4 / sizeof(S), kA = K / (2 * kPer), kB = K / (4 * kPer);
  constexpr std::size_t kThreads = 16 * 32;
  for (const bool whole : {true, false}) {
    if (!whole && kPer == 4) continue;  // integers are exact
    cases.push_back(
        {"mma " + name + (whole ? " exact" : " real"), whole ? 0 : kProductTolerance, [whole] {
           const Buffer<std::uint32_t> a(as_words(numbers<S>(kThreads * kA * kPer, 1, whole))),
               b(as_words(numbers<S>(kThreads * kB * kPer, 2, whole)));
           const Buffer<Sum> c(numbers<Sum>(kThreads * 4, 3, true)), d(kThreads * 4);
           launch(blocks("mma", 16, 32), products<T, K, kA, kB, Sum>, a.get(), b.get(), c.get(),
                  d.get());
           return d.words();
         }});
  }
}

}  // namespace

void add_matrix(Cases& cases) {
  add_moves<false, 1>(cases);
  add_moves<true, 1>(cases);
  add_moves<false, 2>(cases);
  add_moves<true, 2>(cases);
  add_moves<false, 4>(cases);
  add_moves<true, 4>(cases);
  add_products<__half, __half, 8>(cases, "m16n8k8 f16");
  add_products<__half, __half, 16>(cases, "m16n8k16 f16");
  add_products<__nv_bfloat16, __nv_bfloat16, 16>(cases, "m16n8k16 bf16");
  add_products<Tf32, float, 8>(cases, "m16n8k8 tf32");
  add_products<std::int8_t, std::int8_t, 32, std::int32_t>(cases, "m16n8k32 s8");
}

}  // namespace minidl::conformance
