#include <thread>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/matmul.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

struct Case {
  std::int64_t batch, m, k, n;  // batch 0: 2-D operands
};

Shape matrix_shape(std::int64_t batch, std::int64_t rows, std::int64_t cols) {
  return batch == 0 ? Shape{rows, cols} : Shape{batch, rows, cols};
}

std::vector<double> reference(const Case& c, const std::vector<double>& a,
                              const std::vector<double>& b, const TestTensor* bias) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < std::max<std::int64_t>(c.batch, 1); ++i) {
    for (std::int64_t row = 0; row < c.m; ++row) {
      for (std::int64_t col = 0; col < c.n; ++col) {
        double sum = bias == nullptr ? 0.0 : bias->get(col);
        for (std::int64_t p = 0; p < c.k; ++p) {
          sum += a[static_cast<std::size_t>((i * c.m + row) * c.k + p)] *
                 b[static_cast<std::size_t>((i * c.k + p) * c.n + col)];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

void check_matmul(DType dtype, const Case& c, Layout layout_a, Layout layout_b, bool with_bias) {
  Draw draw(-1, 1);
  const TestTensor a =
      TestTensor(dtype, matrix_shape(c.batch, c.m, c.k), layout_a).fill(std::ref(draw));
  const TestTensor b =
      TestTensor(dtype, matrix_shape(c.batch, c.k, c.n), layout_b).fill(std::ref(draw));
  const TestTensor bias = TestTensor(dtype, {c.n}, Layout::sliced).fill(std::ref(draw));
  TestTensor out(dtype, matrix_shape(c.batch, c.m, c.n));
  out.fill([] { return 77.0; });
  ExecContext ctx = test_context();
  matmul(ctx, a.view(), b.view(), with_bias ? bias.view() : View{}, out.view());
  const std::vector<double> expected =
      reference(c, a.values(), b.values(), with_bias ? &bias : nullptr);
  const double allowed = (dtype == f64 ? 2.3e-16 : 1.2e-7) * static_cast<double>(c.k + 2);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    if (!close(out.get(i), expected[static_cast<std::size_t>(i)], allowed)) ++wrong;
  }
  INFO(describe(a.view()) << " times " << describe(b.view()) << " bias " << with_bias);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("matmul agrees with plain loops in every layout", "[matmul]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  const Case cases[] = {{0, 1, 1, 1}, {0, 5, 3, 7}, {0, 1, 9, 4}, {0, 4, 9, 1},  {0, 65, 257, 130},
                        {1, 3, 4, 5}, {3, 6, 5, 4}, {4, 1, 8, 1}, {2, 17, 1, 9}, {5, 33, 20, 16}};
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : cases) {
      for (const Layout a : kLayouts) {
        for (const Layout b : kLayouts) {
          for (const bool bias : {false, true}) check_matmul(dtype, c, a, b, bias);
        }
      }
    }
  }
}

TEST_CASE("matmul of random sizes agrees with plain loops", "[matmul]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw size(1, 70);
  const auto draw = [&] { return static_cast<std::int64_t>(size()); };
  for (int i = 0; i < 30; ++i) {
    const Case c{draw() % 4, draw(), draw(), draw()};
    const Layout a = kLayouts[draw() % 4];
    const Layout b = kLayouts[draw() % 4];
    for (const DType dtype : {f32, f64}) check_matmul(dtype, c, a, b, i % 2 == 0);
  }
}

TEST_CASE("matmul handles empty dimensions", "[matmul]") {
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : {Case{0, 0, 3, 4}, Case{0, 3, 4, 0}, Case{0, 3, 0, 4}, Case{2, 3, 0, 4}}) {
      for (const bool bias : {false, true}) {
        check_matmul(dtype, c, Layout::contiguous, Layout::contiguous, bias);
      }
    }
    const TestTensor empty(dtype, {0, 2, 2});
    ExecContext ctx = test_context();
    CHECK_NOTHROW(matmul(ctx, empty.view(), empty.view(), View{}, empty.view()));
  }
}

TEST_CASE("matmul takes matrices between which the batch is interleaved", "[matmul]") {
  // [rows, batch, cols] seen as [batch, rows, cols], as attention heads are.
  const Case c{3, 4, 5, 6};
  for (const DType dtype : {f32, f64}) {
    Draw draw(-1, 1);
    const TestTensor stored = TestTensor(dtype, {c.m, c.batch, c.k}).fill(std::ref(draw));
    const TestTensor b = TestTensor(dtype, {c.batch, c.k, c.n}).fill(std::ref(draw));
    View a = stored.view();
    a.shape = {c.batch, c.m, c.k};
    a.strides = {c.k, c.batch * c.k, 1};
    std::vector<double> a_values;
    for (std::int64_t i = 0; i < c.batch; ++i) {
      for (std::int64_t row = 0; row < c.m; ++row) {
        for (std::int64_t p = 0; p < c.k; ++p) {
          a_values.push_back(stored.get((row * c.batch + i) * c.k + p));
        }
      }
    }
    const TestTensor out(dtype, {c.batch, c.m, c.n});
    ExecContext ctx = test_context();
    matmul(ctx, a, b.view(), View{}, out.view());
    const std::vector<double> expected = reference(c, a_values, b.values(), nullptr);
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      CHECK(close(out.get(i), expected[static_cast<std::size_t>(i)], dtype == f64 ? 1e-15 : 1e-6));
    }
  }
}

TEST_CASE("f64 matmul gives equal bits on any number of threads", "[matmul]") {
  Draw draw(-1, 1);
  const TestTensor a = TestTensor(f64, {150, 300}).fill(std::ref(draw));
  const TestTensor b = TestTensor(f64, {300, 270}).fill(std::ref(draw));
  const int threads_before = max_threads();
  const TestTensor first(f64, {150, 270});
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const TestTensor out(f64, {150, 270});
    ExecContext ctx = test_context();
    matmul(ctx, a.view(), b.view(), View{}, threads == 1 ? first.view() : out.view());
    if (threads > 1) CHECK(out.same_bits(first));
  }
  set_num_threads(threads_before);
}

TEST_CASE("matmul may run on several threads at once", "[matmul]") {
  Draw draw(-1, 1);
  const TestTensor a = TestTensor(f32, {70, 90}).fill(std::ref(draw));
  const TestTensor b = TestTensor(f32, {90, 50}, Layout::sliced).fill(std::ref(draw));
  const std::vector<TestTensor> outputs(4, TestTensor(f32, {70, 50}));
  std::vector<std::thread> threads;
  for (const TestTensor& out : outputs) {
    threads.emplace_back([&a, &b, &out] {
      ExecContext ctx = test_context();
      set_num_threads(1);
      for (int i = 0; i < 50; ++i) matmul(ctx, a.view(), b.view(), View{}, out.view());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const TestTensor& out : outputs) CHECK(out.same_bits(outputs[0]));
}

TEST_CASE("matmul names what does not fit", "[matmul]") {
  const TestTensor a(f32, {2, 3});
  const TestTensor wide(f64, {3, 4});
  const TestTensor b(f32, {4, 5});
  const TestTensor whole(i32, {2, 2});
  const TestTensor out(f32, {2, 5});
  ExecContext ctx = test_context();
  CHECK_THROWS_WITH(matmul(ctx, a.view(), b.view(), View{}, out.view()),
                    Contains("[2, 3]") && Contains("[4, 5]"));
  CHECK_THROWS_WITH(matmul(ctx, a.view(), wide.view(), View{}, out.view()), Contains("f64"));
  CHECK_THROWS_WITH(matmul(ctx, whole.view(), whole.view(), View{}, whole.view()),
                    Contains("matmul: dtype must be") && Contains("i32"));
}
