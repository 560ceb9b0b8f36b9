// Every tier of kernels/cuda/gemm against plain loops in double: dtypes, layouts, ragged sizes.

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/gemm/gemm.h"
#include "minidl/kernels/matmul.h"
#include "tests/catch.h"
#include "tests/kernels/cuda/on_cuda.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;
using cuda::Gemm;
using cuda::GemmTier;
using cuda::Matrices;

namespace {

/// How an operand lies in memory. TMA and cp.async want the first three.
enum class Order {
  rows,        ///< row-major, rows padded to a multiple of 16 bytes
  columns,     ///< the same of the transpose
  stretched,   ///< like rows, one matrix for the whole batch
  dense,       ///< row-major without padding
  everything,  ///< every second row of every third column
  one_row,     ///< all rows are the same memory
};
constexpr Order kAligned[] = {Order::rows, Order::columns, Order::stretched};
constexpr Order kAll[] = {Order::rows,  Order::columns,    Order::stretched,
                          Order::dense, Order::everything, Order::one_row};

struct Case {
  std::int64_t batch, m, n, k;
};

std::int64_t padded(std::int64_t size) {
  return (size + 7) / 8 * 8;
}

/// Random numbers as `batch` matrices.
class Operand {
 public:
  Operand(DType dtype, Order order, std::int64_t batch, std::int64_t rows, std::int64_t columns,
          Draw& draw)
      : matrices_(place(order, rows, columns)),
        memory_(TestTensor(dtype, {extent(batch, rows, columns)}).fill(std::ref(draw))) {
    values_ = memory_.values();
    matrices_.data = memory_.view().data;
  }
  const Matrices& matrices() const { return matrices_; }
  double at(std::int64_t matrix, std::int64_t row, std::int64_t column) const {
    return values_[static_cast<std::size_t>(matrix * matrices_.batch_stride +
                                            row * matrices_.row_stride +
                                            column * matrices_.column_stride)];
  }

 private:
  static Matrices place(Order order, std::int64_t rows, std::int64_t columns) {
    switch (order) {
      case Order::rows: return {nullptr, padded(columns), 1, rows * padded(columns)};
      case Order::columns: return {nullptr, 1, padded(rows), columns * padded(rows)};
      case Order::stretched: return {nullptr, padded(columns), 1, 0};
      case Order::dense: return {nullptr, columns, 1, rows * columns};
      case Order::everything: return {nullptr, 6 * columns, 3, 6 * rows * columns + 1};
      case Order::one_row: return {nullptr, 0, 1, padded(columns)};
    }
    return {};
  }
  std::int64_t extent(std::int64_t batch, std::int64_t rows, std::int64_t columns) const {
    return 1 + std::max<std::int64_t>(batch - 1, 0) * matrices_.batch_stride +
           std::max<std::int64_t>(rows - 1, 0) * matrices_.row_stride +
           std::max<std::int64_t>(columns - 1, 0) * matrices_.column_stride;
  }

  Matrices matrices_;
  TestTensor memory_;
  std::vector<double> values_;
};

/// Half a unit in the last place of a number of size 1.
double unit(DType dtype) {
  switch (dtype) {
    case f64: return 0x1p-53;
    case f16: return 0x1p-11;
    case bf16: return 0x1p-8;
    default: return 0x1p-24;
  }
}

/// The error that k sums of products of this total size, and one rounding of the result, may make:
/// Higham 2002, section 3.1. Tensor cores truncate: twice that.
double allowed(DType dtype, std::int64_t k, double magnitude, double result) {
  const double sums = unit(dtype == f64 ? f64 : f32) * (dtype == f32 || dtype == f64 ? 1 : 2);
  return sums * static_cast<double>(k + 2) * magnitude + 1.01 * unit(dtype) * std::abs(result) +
         (dtype == f16 ? 0x1p-25 : 0);
}

void check_gemm(GemmTier tier, DType dtype, const Case& c, Order order_a, Order order_b,
                bool with_bias) {
  INFO(cuda::name(tier) << ' ' << name(dtype) << ' ' << c.batch << " x " << c.m << " x " << c.n
                        << " x " << c.k << " orders " << static_cast<int>(order_a)
                        << static_cast<int>(order_b) << " bias " << with_bias);
  Draw draw(-1, 1);
  const Operand a(dtype, order_a, c.batch, c.m, c.k, draw);
  const Operand b(dtype, order_b, c.batch, c.k, c.n, draw);
  const Operand bias(dtype, Order::everything, 1, 1, c.n, draw);
  const TestTensor out = TestTensor(dtype, {c.batch, c.m, c.n}).fill([] { return 77.0; });
  ExecContext ctx = test_context();
  const Gemm problem{dtype,
                     c.batch,
                     c.m,
                     c.n,
                     c.k,
                     a.matrices(),
                     b.matrices(),
                     with_bias ? bias.matrices().data : nullptr,
                     with_bias ? bias.matrices().column_stride : 0,
                     out.view().data};
  REQUIRE(cuda::why_not(tier, ctx.device, problem).empty());
  cuda::gemm(ctx, problem, tier);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const std::int64_t matrix = i / (c.m * c.n), row = i / c.n % c.m, column = i % c.n;
    double sum = with_bias ? bias.at(0, 0, column) : 0;
    double magnitude = std::abs(sum);
    for (std::int64_t k = 0; k < c.k; ++k) {
      const double product = a.at(matrix, row, k) * b.at(matrix, k, column);
      sum += product;
      magnitude += std::abs(product);
    }
    if (!close(out.get(i), sum, allowed(dtype, c.k, magnitude, sum))) ++wrong;
  }
  CHECK(wrong == 0);
}

/// Random sizes up to the given ones, ragged and round.
class RandomCases {
 public:
  explicit RandomCases(Case largest) : largest_(largest) {}
  Case operator()() {
    return {size(largest_.batch), size(largest_.m), size(largest_.n), size(largest_.k)};
  }
  std::size_t index(std::size_t count) { return static_cast<std::size_t>(draw_()) % count; }

 private:
  std::int64_t size(std::int64_t most) {
    const std::int64_t size = 1 + static_cast<std::int64_t>(draw_()) % most;
    return index(3) == 0 ? std::min(padded(size), most) : size;
  }

  Case largest_;
  Draw draw_{0, 1e6};
};

template <std::size_t Count>
void check_random(GemmTier tier, std::initializer_list<DType> dtypes, const Order (&orders)[Count],
                  const Case& largest, int cases) {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  RandomCases random(largest);
  for (int i = 0; i < cases; ++i) {
    for (const DType dtype : dtypes) {
      check_gemm(tier, dtype, random(), orders[random.index(Count)], orders[random.index(Count)],
                 i % 2 == 0);
    }
  }
}

}  // namespace

TEST_CASE("SIMT GEMM agrees with plain loops", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  for (const Order a : kAll) {
    for (const Order b : kAll) {
      for (const DType dtype : {f32, f64}) {
        check_gemm(GemmTier::simt, dtype, {2, 70, 67, 37}, a, b, true);
      }
    }
  }
  check_random(GemmTier::simt, {f32, f64}, kAll, {3, 150, 150, 100}, 8);
}

TEST_CASE("GEMM on mma.sync agrees with plain loops", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  for (const Order a : kAll) {
    for (const Order b : kAll) {
      for (const DType dtype : {f16, bf16}) {
        check_gemm(GemmTier::mma, dtype, {2, 131, 42, 75}, a, b, true);
      }
    }
  }
  check_random(GemmTier::mma, {f16, bf16}, kAll, {3, 300, 300, 200}, 4);
}

TEST_CASE("GEMM on TMA and wgmma agrees with plain loops", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  for (const Order a : kAligned) {
    for (const Order b : kAligned) {
      for (const DType dtype : {f16, bf16}) {
        check_gemm(GemmTier::wgmma, dtype, {2, 131, 42, 75}, a, b, true);
      }
    }
  }
  check_random(GemmTier::wgmma, {f16, bf16}, kAligned, {3, 300, 300, 400}, 4);
}

TEST_CASE("GEMM on TMA and wgmma agrees with plain loops on wide tiles", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  // 64 tiles of 128 x 256: three rows of them, so that half a cluster has none.
  const Case c{11, 260, 257, 70};
  for (const Order a : {Order::rows, Order::columns}) {
    for (const Order b : {Order::rows, Order::columns}) {
      check_gemm(GemmTier::wgmma, a == b ? f16 : bf16, c, a, b, false);
    }
  }
}

TEST_CASE("GEMM with an empty k gives the bias, or zeros", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  for (const bool bias : {false, true}) {
    const Case c{2, 3, 5, 0};
    for (const DType dtype : {f32, f64}) {
      check_gemm(GemmTier::simt, dtype, c, Order::rows, Order::rows, bias);
    }
    for (const DType dtype : {f16, bf16}) {
      check_gemm(GemmTier::mma, dtype, c, Order::rows, Order::rows, bias);
    }
  }
}

TEST_CASE("matmul of 16-bit types agrees with plain loops in every layout", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  INFO("MINIDL_TEST_SEED=" << test_seed());
  constexpr std::int64_t kBatch = 2, kM = 9, kN = 16, kK = 24;
  Draw draw(-1, 1);
  for (const DType dtype : {f16, bf16}) {
    for (const Layout layout_a : kLayouts) {
      for (const Layout layout_b : kLayouts) {
        const TestTensor a = TestTensor(dtype, {kBatch, kM, kK}, layout_a).fill(std::ref(draw));
        const TestTensor b = TestTensor(dtype, {kBatch, kK, kN}, layout_b).fill(std::ref(draw));
        const TestTensor bias = TestTensor(dtype, {kN}, Layout::sliced).fill(std::ref(draw));
        const TestTensor out = TestTensor(dtype, {kBatch, kM, kN}).fill([] { return 77.0; });
        ExecContext ctx = test_context();
        matmul(ctx, a.view(), b.view(), bias.view(), out.view());
        const std::vector<double> left = a.values(), right = b.values();
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          const std::int64_t row = i / kN, column = i % kN;
          double sum = bias.get(column);
          double magnitude = std::abs(sum);
          for (std::int64_t k = 0; k < kK; ++k) {
            const double product =
                left[static_cast<std::size_t>(row * kK + k)] *
                right[static_cast<std::size_t>((row / kM * kK + k) * kN + column)];
            sum += product;
            magnitude += std::abs(product);
          }
          if (!close(out.get(i), sum, allowed(dtype, kK, magnitude, sum))) ++wrong;
        }
        INFO(describe(a.view()) << " times " << describe(b.view()));
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("a tier of GEMM says what it cannot do", "[gemm]") {
  if (!on_cuda_or_skip()) return;
  ExecContext ctx = test_context();
  const TestTensor memory(f16, {16 * 17});
  void* data = memory.view().data;
  const Gemm whole{f16, 1, 16, 16, 16, {data, 16, 1, 0}, {data, 16, 1, 0}, nullptr, 0, data};
  const auto refused = [&](GemmTier tier, const Gemm& gemm, const std::string& text) {
    CHECK_THROWS_WITH(cuda::gemm(ctx, gemm, tier), Contains(cuda::name(tier)) && Contains(text));
  };
  Gemm gemm = whole;
  refused(GemmTier::simt, gemm, "f16");
  gemm.k = 0;
  refused(GemmTier::wgmma, gemm, "k must not be 0");
  gemm = whole;
  gemm.a.row_stride = 17;
  refused(GemmTier::wgmma, gemm, "TMA cannot fetch a");
  gemm.a.row_stride = 0;  // nor rows that are one
  refused(GemmTier::wgmma, gemm, "TMA cannot fetch a");
  gemm = whole;
  gemm.b.data = static_cast<char*>(data) + 2;
  refused(GemmTier::wgmma, gemm, "TMA cannot fetch b");
  gemm = whole;
  gemm.dtype = f64;
  refused(GemmTier::mma, gemm, "f64");
  refused(GemmTier::wgmma, gemm, "f64");
  gemm.dtype = i32;
  CHECK_THROWS_WITH(cuda::gemm(ctx, gemm), Contains("i32") && Contains("cuda:0"));
}
