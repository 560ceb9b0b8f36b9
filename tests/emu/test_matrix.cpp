// ldmatrix, stmatrix and mma.sync. Fragments are filled and read by the formulas of the PTX ISA's
// "Matrix Fragments", written down here once more; products are compared with plain sums, exactly,
// as the operands are small integers.
#include "minidl/kernels/cuda/ptx/ldmatrix.cuh"
#include "minidl/kernels/cuda/ptx/mma.cuh"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;
using namespace minidl::kernels::cuda::ptx;

namespace {

using Words = std::vector<std::uint32_t>;

template <bool Transposed, int N>
void move_kernel(const std::uint32_t* in, std::uint32_t* registers, std::uint32_t* back) {
  MINIDL_SHARED(std::uint32_t, s, [128]);
  MINIDL_SHARED(std::uint32_t, t, [128]);
  const std::uint32_t lane = threadIdx.x;
  for (std::uint32_t i = lane; i < 128; i += 32) {
    s[i] = in[i];
    t[i] = 0;
  }
  __syncwarp();
  // Rows in any order: row i of memory is where lane 5 i + 3 says.
  const std::uint32_t row = (lane * 5 + 3) % 32;
  std::uint32_t r[N];
  ldmatrix<Transposed>(r, shared_address(s + 4 * row));
  for (int i = 0; i < N; ++i) registers[lane * N + static_cast<std::uint32_t>(i)] = r[i];
  stmatrix<Transposed>(shared_address(t + 4 * row), r);
  __syncwarp();
  for (std::uint32_t i = lane; i < 128; i += 32) back[i] = t[i];
}

template <bool Transposed, int N>
void check_move() {
  auto engine = random_engine();
  const Words in = random_words(128, engine);
  Words registers(32 * N), back(128);
  launch(blocks("move", 1, 32), move_kernel<Transposed, N>, in.data(), registers.data(),
         back.data());
  const auto* halves = reinterpret_cast<const std::uint16_t*>(in.data());
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t i = 0; i < N; ++i) {
      std::uint32_t expected = 0;
      for (std::uint32_t h = 0; h < 2; ++h) {
        std::uint32_t row = lane / 4, column = lane % 4 * 2 + h;
        if (Transposed) std::swap(row, column);
        const std::uint32_t at = ((8 * i + row) * 5 + 3) % 32;  // the row's place in memory
        expected |= std::uint32_t{halves[at * 8 + column]} << 16 * h;
      }
      REQUIRE(registers[lane * N + i] == expected);
    }
  }
  for (std::uint32_t source = 0; source < 32; ++source) {
    const std::uint32_t at = (source * 5 + 3) % 32;
    for (std::uint32_t i = 0; i < 4; ++i) {
      REQUIRE(back[at * 4 + i] == (source < 8 * N ? in[at * 4 + i] : 0));
    }
  }
}

// A product of fragments that come as words; K elements deep.
template <class T, int K, int A, int B, class Sum>
void mma_kernel(const std::uint32_t* a, const std::uint32_t* b, Sum* d) {
  const std::uint32_t lane = threadIdx.x;
  std::uint32_t fa[A], fb[B];
  Sum fd[4];
  for (std::uint32_t i = 0; i < A; ++i) fa[i] = a[lane * A + i];
  for (std::uint32_t i = 0; i < B; ++i) fb[i] = b[lane * B + i];
  for (std::uint32_t i = 0; i < 4; ++i) fd[i] = d[lane * 4 + i];
  if constexpr (K == 32) mma_m16n8k32(fd, fa, fb, T{});
  if constexpr (K == 16) mma_m16n8k16(fd, fa, fb, T{});
  if constexpr (K == 8) mma_m16n8k8(fd, fa, fb, T{});
  for (std::uint32_t i = 0; i < 4; ++i) d[lane * 4 + i] = fd[i];
}

std::uint32_t bits_of(__half x) {
  return __half_as_ushort(x);
}
std::uint32_t bits_of(__nv_bfloat16 x) {
  return __bfloat16_as_ushort(x);
}
std::uint32_t bits_of(float x) {
  return __float_as_uint(x);
}
std::uint32_t bits_of(std::int8_t x) {
  return static_cast<std::uint8_t>(x);
}

// T: the operand type, S: what an element is stored as.
template <class T, class S, int K, class Sum>
void check_mma() {
  constexpr std::uint32_t kPer = 4 / sizeof(S), kA = K / (2 * kPer), kB = K / (4 * kPer);
  auto engine = random_engine();
  const auto a = small_integers<S>(16 * K, engine), b = small_integers<S>(K * 8, engine);
  const auto c = small_integers<Sum>(16 * 8, engine);
  Words fa(32 * kA), fb(32 * kB);
  std::vector<Sum> fd(32 * 4);
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t g = lane / 4, t = lane % 4;
    for (std::uint32_t i = 0; i < kA * kPer; ++i) {  // element i of the thread
      const std::uint32_t word = i / kPer, row = g + (word % 2 == 1 ? 8 : 0),
                          k = t * kPer + i % kPer + (word >= 2 ? 4 * kPer : 0);
      fa[lane * kA + word] |= bits_of(a[row * K + k]) << 32 / kPer * (i % kPer);
    }
    for (std::uint32_t i = 0; i < kB * kPer; ++i) {
      const std::uint32_t word = i / kPer, k = t * kPer + i % kPer + word * 4 * kPer;
      fb[lane * kB + word] |= bits_of(b[k * 8 + g]) << 32 / kPer * (i % kPer);
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      fd[lane * 4 + i] = c[(g + (i >= 2 ? 8 : 0)) * 8 + 2 * t + (i & 1)];
    }
  }
  launch(blocks("mma", 1, 32), mma_kernel<T, K, kA, kB, Sum>, fa.data(), fb.data(), fd.data());
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t row = lane / 4 + (i >= 2 ? 8 : 0), column = 2 * (lane % 4) + (i & 1);
      double sum = static_cast<double>(c[row * 8 + column]);
      for (std::uint32_t k = 0; k < K; ++k) {
        sum += static_cast<double>(static_cast<float>(a[row * K + k])) *
               static_cast<double>(static_cast<float>(b[k * 8 + column]));
      }
      REQUIRE(static_cast<double>(fd[lane * 4 + i]) == sum);
    }
  }
}

}  // namespace

TEST_CASE("ldmatrix and stmatrix", "[matrix]") {
  INFO(seed_text());
  check_move<false, 1>();
  check_move<true, 1>();
  check_move<false, 2>();
  check_move<true, 2>();
  check_move<false, 4>();
  check_move<true, 4>();
}

TEST_CASE("mma.sync, every type and shape", "[matrix]") {
  INFO(seed_text());
  check_mma<__half, __half, 16, float>();
  check_mma<__nv_bfloat16, __nv_bfloat16, 16, float>();
  check_mma<__half, __half, 8, float>();
  check_mma<Tf32, float, 8, float>();
  check_mma<std::int8_t, std::int8_t, 32, std::int32_t>();
}

TEST_CASE("tf32 ignores the low 13 bits", "[matrix]") {
  Words a(32 * 4, 0x3f801fff), b(32 * 2, 0x3f800000);  // 1 and a little, 1
  std::vector<float> d(32 * 4);
  launch(blocks("mma", 1, 32), mma_kernel<Tf32, 8, 4, 2, float>, a.data(), b.data(), d.data());
  CHECK(d == std::vector<float>(32 * 4, 8));
}

TEST_CASE("all f16 and bf16 values mean what the CUDA headers say", "[matrix]") {
  // Each value goes through a product with a one-hot column, 16 at a time.
  for (const bool bf16 : {false, true}) {
    for (std::uint32_t value = 0; value < 0x10000; value += 37) {
      Words a(32 * 4), b(32 * 2);
      a[0] = value;                   // row 0, k 0
      b[0] = bf16 ? 0x3f80 : 0x3c00;  // k 0, column 0: 1
      std::vector<float> d(32 * 4);
      launch(
          blocks("mma", 1, 32),
          bf16 ? mma_kernel<__nv_bfloat16, 16, 4, 2, float> : mma_kernel<__half, 16, 4, 2, float>,
          a.data(), b.data(), d.data());
      const auto raw = static_cast<unsigned short>(value);
      const float expected =
          bf16 ? __bfloat162float(__ushort_as_bfloat16(raw)) : __half2float(__ushort_as_half(raw));
      if (expected == expected) {
        REQUIRE(d[0] == expected);
      } else {
        REQUIRE(d[0] != d[0]);
      }
    }
  }
}
