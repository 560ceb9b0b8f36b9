// Whole kernels: softmax, transpose, reductions and stores by TMA, compared with plain loops in
// double. Those on tensor cores are minidl's own: tests/kernels/cuda/test_gemm.cpp.
#include <cmath>

#include "support.h"
#include "tests/catch.h"
#include "tests/emu/kernels/kernels.h"

using namespace emu_test;

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
