#include <cmath>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/embedding.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kRows = 6;
constexpr std::int64_t kWidths[] = {0, 1, 37};
const Shape kShapes[] = {{}, {0}, {1}, {9}, {3, 0, 2}, {4, 1, 5}};

Shape with_width(Shape shape, std::int64_t width) {
  shape.push_back(width);
  return shape;
}

TestTensor random_indices(DType dtype, const Shape& shape, Layout layout) {
  Draw draw(0, static_cast<double>(kRows));
  return TestTensor(dtype, shape, layout).fill([&] { return std::floor(draw()); });
}

/// Calls f(dtype of the indices, dtype, shape of the indices, width, layout of the inputs, that of
/// the results).
template <class F>
void for_each_case(const F& f) {
  for (const DType index_dtype : {i64, i32}) {
    for (const DType dtype : {f32, f64}) {
      for (const Shape& shape : kShapes) {
        for (const std::int64_t width : kWidths) {
          for (const Layout in : kLayouts) {
            for (const Layout out : kOutputLayouts) f(index_dtype, dtype, shape, width, in, out);
          }
        }
      }
    }
  }
}

std::vector<double> backward_reference(const TestTensor& dy, const TestTensor& indices,
                                       std::int64_t width, std::int64_t padding_idx) {
  std::vector<double> sums(static_cast<std::size_t>(kRows * width));
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const auto row = static_cast<std::int64_t>(indices.get(i));
    for (std::int64_t column = 0; row != padding_idx && column < width; ++column) {
      sums[static_cast<std::size_t>(row * width + column)] += dy.get(i * width + column);
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("embedding copies the rows that the indices name", "[embedding]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for_each_case([&](DType index_dtype, DType dtype, const Shape& shape, std::int64_t width,
                    Layout in, Layout layout) {
    const TestTensor weight = TestTensor(dtype, {kRows, width}, in).fill(Draw(-1, 1));
    const TestTensor indices = random_indices(index_dtype, shape, in);
    const TestTensor out(dtype, with_width(shape, width), layout);
    embedding_forward(ctx, weight.view(), indices.view(), out.view());
    INFO(describe(weight.view()) << " at " << describe(indices.view()));
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      const auto row = static_cast<std::int64_t>(indices.get(i / width));
      if (out.get(i) != weight.get(row * width + i % width)) CHECK(false);
    }
  });
}

TEST_CASE("the gradient of embedding sums over the positions of each row", "[embedding]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for_each_case([&](DType index_dtype, DType dtype, const Shape& shape, std::int64_t width,
                    Layout in, Layout out) {
    const TestTensor dy = TestTensor(dtype, with_width(shape, width), in).fill(Draw(-1, 1));
    const TestTensor indices = random_indices(index_dtype, shape, in);
    for (const std::int64_t padding_idx : {-1, 2}) {
      TestTensor dweight(dtype, {kRows, width}, out);
      dweight.fill([] { return kNan; });
      embedding_backward(ctx, dy.view(), indices.view(), padding_idx, dweight.view());
      const std::vector<double> expected = backward_reference(dy, indices, width, padding_idx);
      INFO(describe(dy.view()) << " at " << describe(indices.view()) << " padding_idx "
                               << padding_idx);
      for (std::int64_t i = 0; i < dweight.numel(); ++i) {
        const double wanted = expected[static_cast<std::size_t>(i)];
        if (!close(dweight.get(i), wanted, tolerance(dtype, 20))) CHECK(dweight.get(i) == wanted);
      }
    }
  });
}

TEST_CASE("the gradient of embedding takes any number of positions per row", "[embedding]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  Draw draw(0, 1);
  for (const std::int64_t width : {1, 3, 8}) {
    for (const Shape& shape : {Shape{31}, {64}, {256}, {257}, {30, 50}}) {
      TestTensor indices(i64, shape);  // two of three positions are in row 1, none in row 5
      indices.fill([&] { return draw() < 0.67 ? 1 : std::floor(draw() * 5); });
      const TestTensor dy = TestTensor(f32, with_width(shape, width)).fill(std::ref(draw));
      const TestTensor dweight(f32, {kRows, width});
      const TestTensor again(f32, {kRows, width});
      embedding_backward(ctx, dy.view(), indices.view(), -1, dweight.view());
      embedding_backward(ctx, dy.view(), indices.view(), -1, again.view());
      const std::vector<double> expected = backward_reference(dy, indices, width, -1);
      INFO(describe(dy.view()));
      CHECK(dweight.same_bits(again));
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < dweight.numel(); ++i) {
        const double wanted = expected[static_cast<std::size_t>(i)];
        if (!close(dweight.get(i), wanted, 16 * tolerance(f32, wanted))) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("embedding reads and writes columns of larger tables", "[embedding]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const int first : {0, 1, 4}) {  // 1: no vector is aligned
    const auto columns = [&](View view) {
      view.data = static_cast<float*>(view.data) + first;
      view.shape.back() = 8;
      return view;
    };
    const TestTensor weight = TestTensor(f32, {kRows, 12}).fill(Draw(-1, 1));
    const TestTensor indices = random_indices(i64, {100}, Layout::contiguous);
    const TestTensor out(f32, {100, 12});
    const TestTensor dweight(f32, {kRows, 12});
    embedding_forward(ctx, columns(weight.view()), indices.view(), columns(out.view()));
    embedding_backward(ctx, columns(out.view()), indices.view(), -1, columns(dweight.view()));
    const std::vector<double> sums = backward_reference(out, indices, 12, -1);
    INFO("columns from " << first);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      const bool inside = i % 12 >= first && i % 12 < first + 8;
      const auto row = static_cast<std::int64_t>(indices.get(i / 12));
      if (out.get(i) != (inside ? weight.get(row * 12 + i % 12) : 0)) ++wrong;
    }
    for (std::int64_t i = 0; i < dweight.numel(); ++i) {
      const double wanted = sums[static_cast<std::size_t>(i)];
      if (!close(dweight.get(i), wanted, tolerance(f32, 100))) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("embedding names position and index of a wrong index", "[embedding]") {
  ExecContext ctx = test_context();
  const TestTensor weight(f32, {kRows, 3});
  const TestTensor out(f32, {2, 4, 3});
  for (const std::int64_t wrong : {std::int64_t{-1}, kRows, std::int64_t{1} << 40}) {
    TestTensor indices(i64, {2, 4}, Layout::sliced);
    indices.set(6, static_cast<double>(wrong));
    const std::string message =
        "the index at [1, 2] is " + std::to_string(wrong) + ", but the weight has 6 rows";
    const auto forward = [&] {
      embedding_forward(ctx, weight.view(), indices.view(), out.view());
      ctx.stream.synchronize();
    };
    const auto backward = [&] {
      embedding_backward(ctx, out.view(), indices.view(), -1, weight.view());
      ctx.stream.synchronize();
    };
    CHECK_THROWS_WITH(forward(), Contains(message));
    CHECK_THROWS_WITH(backward(), Contains(message));
  }
}

TEST_CASE("embedding refuses indices that are no integers", "[embedding]") {
  ExecContext ctx = test_context();
  const TestTensor weight(f32, {kRows, 3});
  const TestTensor out(f32, {2, 3});
  CHECK_THROWS_WITH(embedding_forward(ctx, weight.view(), TestTensor(f32, {2}).view(), out.view()),
                    Contains("i64") && Contains("f32"));
}

TEST_CASE("the gradient of embedding does not depend on the number of threads", "[embedding]") {
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor indices = random_indices(i64, {1000}, Layout::contiguous);
  const TestTensor dy = TestTensor(f32, {1000, 200}).fill(Draw(-1, 1));
  const TestTensor one(f32, {kRows, 200});
  const TestTensor three(f32, {kRows, 200});
  set_num_threads(1);
  embedding_backward(ctx, dy.view(), indices.view(), -1, one.view());
  set_num_threads(3);
  embedding_backward(ctx, dy.view(), indices.view(), -1, three.view());
  set_num_threads(threads);
  CHECK(one.same_bits(three));
}
