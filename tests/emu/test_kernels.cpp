// Whole kernels: what the emulator is for. Softmax, transpose and reductions, a GEMM on cp.async
// and mma.sync, and one on TMA and wgmma, compared with plain loops in double.
#include <cmath>

#include "support.h"
#include "tests/catch.h"
#include "tests/emu/kernels/kernels.h"

using namespace emu_test;

namespace {

template <class T>
std::vector<double> product(const std::vector<T>& a, const std::vector<T>& b, int m, int n, int k,
                            bool a_mn_major, bool b_mn_major) {
  const auto at = [](int i) { return static_cast<std::size_t>(i); };
  std::vector<double> c(at(m * n));
  for (int i = 0; i < m; ++i) {
    for (int l = 0; l < k; ++l) {
      const double x = static_cast<float>(a[at(a_mn_major ? l * m + i : i * k + l)]);
      for (int j = 0; j < n; ++j) {
        c[at(i * n + j)] += x * static_cast<float>(b[at(b_mn_major ? l * n + j : j * k + l)]);
      }
    }
  }
  return c;
}

double largest_error(const std::vector<float>& c, const std::vector<double>& expected) {
  double largest = 0;
  for (std::size_t i = 0; i < c.size(); ++i) {
    const double error = std::fabs(c[i] - expected[i]);
    if (!(error <= largest)) largest = error;  // keeps a NaN
  }
  return largest;
}

struct Gemm {
  int m, n, k, blocks;
};

template <class T>
void check_gemm_mma(const Gemm& g) {
  auto engine = random_engine();
  const auto a = random_numbers<T>(static_cast<std::size_t>(g.m * g.k), engine);
  const auto b = random_numbers<T>(static_cast<std::size_t>(g.k * g.n), engine);
  std::vector<float> c(static_cast<std::size_t>(g.m * g.n), NAN);
  emu_kernels::gemm_mma(a.data(), b.data(), c.data(), g.m, g.n, g.k);
  CHECK(largest_error(c, product(a, b, g.m, g.n, g.k, false, true)) < 1e-3);
}

template <class T, bool AMnMajor, bool BMnMajor, int BlockN, int Cluster>
void check_gemm_wgmma(const Gemm& g) {
  auto engine = random_engine();
  const auto a = random_numbers<T>(static_cast<std::size_t>(g.m * g.k), engine);
  const auto b = random_numbers<T>(static_cast<std::size_t>(g.k * g.n), engine);
  std::vector<float> c(static_cast<std::size_t>(g.m * g.n), NAN);
  emu_kernels::gemm_wgmma<T, AMnMajor, BMnMajor, BlockN, Cluster>(a.data(), b.data(), c.data(), g.m,
                                                                  g.n, g.k, g.blocks);
  CHECK(largest_error(c, product(a, b, g.m, g.n, g.k, AMnMajor, BMnMajor)) < 1e-3);
}

}  // namespace

TEST_CASE("softmax by rows, any number of threads", "[kernels]") {
  INFO(seed_text());
  auto engine = random_engine();
  for (const int columns : {1, 31, 100, 777}) {
    for (const int threads : {32, 64, 256, 1024}) {
      const int rows = 3;
      const auto x = random_numbers<float>(static_cast<std::size_t>(rows * columns), engine, -3, 3);
      std::vector<float> y(x.size());
      emu_kernels::softmax(x.data(), y.data(), rows, columns, threads);
      for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(columns)) {
        double sum = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
          sum += std::exp(double{x[row + i]});
        }
        for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
          REQUIRE(std::fabs(y[row + i] - std::exp(double{x[row + i]}) / sum) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("transpose through dynamic shared memory", "[kernels]") {
  INFO(seed_text());
  auto engine = random_engine();
  for (const auto& [rows, columns] : {std::pair{32, 32}, {33, 70}, {1, 5}, {100, 64}}) {
    const auto x = random_numbers<float>(static_cast<std::size_t>(rows * columns), engine);
    std::vector<float> y(x.size());
    emu_kernels::transpose(x.data(), y.data(), rows, columns);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        REQUIRE(y[static_cast<std::size_t>(j * rows + i)] ==
                x[static_cast<std::size_t>(i * columns + j)]);
      }
    }
  }
}

TEST_CASE("vector loads, __constant__, votes and atomics", "[kernels]") {
  INFO(seed_text());
  auto engine = random_engine();
  const auto x = random_numbers<float>(4000, engine);
  double expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    expected += double{x[i]} * static_cast<double>(i % 4 + 1);
  float sum = 0;
  int count = 0;
  std::vector<float4> vectors;
  for (std::size_t i = 0; i < x.size(); i += 4) {
    vectors.push_back(make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]));
  }
  emu_kernels::weighted_sum(vectors.data(), 1000, &sum, &count);
  CHECK(std::fabs(sum - expected) < 0.01);
  CHECK(count == 1000);
}

TEST_CASE("axpy, a thread per element or a grid-stride loop", "[kernels]") {
  for (const bool grid_stride : {false, true}) {
    std::vector<float> x(100003, 3), y(x.size(), 1);
    emu_kernels::axpy(2, x.data(), y.data(), static_cast<int>(x.size()), grid_stride);
    CHECK(y == std::vector<float>(x.size(), 7));
  }
}

TEST_CASE("GEMM on cp.async, ldmatrix and mma.sync", "[kernels]") {
  INFO(seed_text());
  for (const Gemm& g :
       {Gemm{128, 128, 32, 0}, {256, 256, 256, 0}, {200, 72, 104, 0}, {1, 8, 8, 0}}) {
    check_gemm_mma<__half>(g);
  }
  check_gemm_mma<__nv_bfloat16>({130, 136, 96, 0});
}

TEST_CASE("GEMM on TMA and wgmma", "[kernels]") {
  INFO(seed_text());
  using F16 = __half;
  using Bf16 = __nv_bfloat16;
  check_gemm_wgmma<Bf16, false, false, 128, 1>({128, 128, 64, 1});
  check_gemm_wgmma<Bf16, false, false, 128, 1>({256, 256, 256, 3});
  check_gemm_wgmma<Bf16, false, false, 128, 1>({200, 136, 328, 2});
  check_gemm_wgmma<Bf16, false, true, 128, 1>({200, 136, 328, 2});
  check_gemm_wgmma<Bf16, true, false, 128, 1>({200, 136, 328, 2});
  check_gemm_wgmma<Bf16, true, true, 128, 1>({200, 136, 328, 2});
  check_gemm_wgmma<F16, false, false, 256, 1>({256, 256, 512, 1});
  check_gemm_wgmma<F16, false, false, 128, 2>({300, 200, 512, 2});
  check_gemm_wgmma<F16, false, true, 256, 2>({512, 512, 128, 4});
}

TEST_CASE("tiles stored by TMA", "[kernels]") {
  const int rows = 72, columns = 40;
  std::vector<float> c(static_cast<std::size_t>(rows * columns), -1);
  emu_kernels::store_tiles(c.data(), rows, columns, 8, 4, 2);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      const bool inside = i >= 8 && j >= 4 && j < 36;
      const float expected = inside ? static_cast<float>((i - 8) * 32 + j - 4) : -1.0F;
      REQUIRE(c[static_cast<std::size_t>(i * columns + j)] == expected);
    }
  }
}
