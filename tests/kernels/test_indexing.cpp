#include <cmath>
#include <string>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/indexing.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

constexpr DType kDtypes[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

TestTensor random_indices(const Shape& shape, std::int64_t extent, Layout layout) {
  Draw draw(0, static_cast<double>(extent));
  return TestTensor(i64, shape, layout).fill([&] { return std::floor(draw()); });
}

/// Small whole numbers, which every dtype holds and sums exactly.
TestTensor numbers(DType dtype, const Shape& shape, Layout layout = Layout::contiguous) {
  Draw draw(0, dtype == boolean ? 2 : 3);  // i8 holds the sum of 40
  return TestTensor(dtype, shape, layout).fill([&] { return std::floor(draw()); });
}

/// Position in a tensor of shape `table` of the element that index `i` of one of shape `shape`
/// names with `index` at `dim`.
std::int64_t named(std::int64_t i, const Shape& shape, int dim, std::int64_t index,
                   const Shape& table) {
  const Strides strides = contiguous_strides(table);
  std::int64_t result = 0;
  for (int d = shape.size() - 1; d >= 0; --d) {
    result += (d == dim ? index : i % shape[d]) * strides[d];
    i /= shape[d];
  }
  return result;
}

struct Case {
  Shape table;
  Shape index;
};
const Case kCases[] = {{{7}, {12}},        {{1}, {1}},
                       {{5}, {0}},         {{4, 6}, {3, 6}},
                       {{4, 70}, {9, 70}}, {{3, 4, 5}, {2, 4, 3}},
                       {{40, 3}, {40, 2}}, {{2, 3, 4, 5}, {2, 3, 4, 5}}};

/// Calls f(case, dim, layout) for those dimensions in which the index may be as long as it is.
template <class F>
void for_each_case(const F& f) {
  for (const Case& c : kCases) {
    for (int dim = 0; dim < c.table.size(); ++dim) {
      bool fits = true;
      for (int d = 0; d < c.table.size(); ++d)
        fits = fits && (d == dim || c.index[d] <= c.table[d]);
      for (const Layout layout : kLayouts) {
        if (fits) f(c, dim, layout);
      }
    }
  }
}

void check_equal(const TestTensor& actual, const std::vector<double>& expected) {
  if (actual.values() != expected) CHECK(actual.values() == expected);
}

}  // namespace

TEST_CASE("gather picks what the indices name", "[indexing][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const DType dtype : kDtypes) {
    for_each_case([&](const Case& c, int dim, Layout layout) {
      const TestTensor x = numbers(dtype, c.table, layout);
      const TestTensor index = random_indices(c.index, c.table[dim], layout);
      for (const Layout out_layout : kOutputLayouts) {
        const TestTensor out(dtype, c.index, out_layout);
        gather(ctx, "gather", x.view(), dim, index.view(), out.view());
        std::vector<double> expected;
        for (std::int64_t i = 0; i < index.numel(); ++i) {
          const auto at = static_cast<std::int64_t>(index.get(i));
          expected.push_back(x.get(named(i, c.index, dim, at, c.table)));
        }
        INFO(describe(x) << " dim " << dim << " at " << describe(index));
        check_equal(out, expected);
      }
    });
  }
}

TEST_CASE("scatter assigns the last of several and adds all of them", "[indexing][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  for (const ScatterOp how : {ScatterOp::assign, ScatterOp::add}) {
    for (const DType dtype : kDtypes) {
      if (how == ScatterOp::add && dtype == boolean) continue;
      for_each_case([&](const Case& c, int dim, Layout layout) {
        const TestTensor src = numbers(dtype, c.index, layout);
        const TestTensor index = random_indices(c.index, c.table[dim], layout);
        for (const Layout out_layout : kOutputLayouts) {
          const TestTensor out = numbers(dtype, c.table, out_layout);
          std::vector<double> expected = out.values();
          // Row-major order is the order along every single dimension.
          for (std::int64_t i = 0; i < index.numel(); ++i) {
            const auto at = static_cast<std::int64_t>(index.get(i));
            double& target =
                expected[static_cast<std::size_t>(named(i, c.index, dim, at, c.table))];
            target = (how == ScatterOp::add ? target : 0) + src.get(i);
          }
          scatter(ctx, "scatter", how, dim, index.view(), src.view(), out.view());
          INFO(describe(out) << " dim " << dim << " at " << describe(index));
          check_equal(out, expected);
        }
      });
    }
  }
}

TEST_CASE("scatter wraps integers around and rounds short floats", "[indexing][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor index(i64, {2});
  struct Row {
    DType dtype;
    double first, added, sum;
  };
  for (const Row& row :
       {Row{u8, 250, 10, 4 + 10}, Row{i8, 127, 1, -127}, Row{i32, 2147483647, 1, -2147483647},
        Row{f16, 2048, 1, 2048}, Row{f32, 0.5, 0.25, 1}}) {
    const TestTensor src = TestTensor(row.dtype, {2}).fill([&] { return row.added; });
    TestTensor out(row.dtype, {1});
    out.set(0, row.first);
    scatter(ctx, "scatter_add", ScatterOp::add, 0, index.view(), src.view(), out.view());
    INFO(name(row.dtype));
    CHECK(out.get(0) == row.sum);
  }
}

TEST_CASE("gather and scatter take an index that is the same for all lines", "[indexing][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const Shape table{3, 8, 50};
  for (int dim = 0; dim < 3; ++dim) {
    const TestTensor flat = random_indices({11}, table[dim], Layout::sliced);
    Shape shape = table;
    shape[dim] = 11;
    View index = flat.view();
    index.shape = shape;
    index.strides = Dims::filled(3, 0);
    index.strides[dim] = flat.view().strides[0];
    const TestTensor x = numbers(f32, table);
    const TestTensor picked(f32, shape);
    gather(ctx, "index_select", x.view(), dim, index, picked.view());
    const TestTensor sums = numbers(f32, table);
    std::vector<double> expected = sums.values();
    scatter(ctx, "index_add", ScatterOp::add, dim, index, picked.view(), sums.view());
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < picked.numel(); ++i) {
      const std::int64_t along = i / contiguous_strides(shape)[dim] % 11;
      const auto at = static_cast<std::int64_t>(flat.get(along));
      const std::int64_t source = named(i, shape, dim, at, table);
      if (picked.get(i) != x.get(source)) ++wrong;
      expected[static_cast<std::size_t>(source)] += picked.get(i);
    }
    CHECK(wrong == 0);
    check_equal(sums, expected);
  }
}

TEST_CASE("the first wrong index is named, whatever the number of threads", "[indexing][cpu]") {
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor x(f32, {600, 300});
  const TestTensor out(f32, {600, 300});
  for (const std::int64_t wrong : {std::int64_t{-1}, std::int64_t{600}, std::int64_t{1} << 62}) {
    TestTensor index(i64, {600, 300}, Layout::reversed);
    index.set(599 * 300 + 299, 700);
    index.set(2 * 300 + 1, static_cast<double>(wrong));
    const std::string message = "pick: the index at [2, 1] is " + std::to_string(wrong) +
                                ", but dimension 0 of shape [600, 300] takes 0..599";
    for (const int count : {1, 4}) {
      set_num_threads(count);
      CHECK_THROWS_WITH(gather(ctx, "pick", x.view(), 0, index.view(), out.view()),
                        Contains(message));
      for (const ScatterOp how : {ScatterOp::assign, ScatterOp::add}) {
        CHECK_THROWS_WITH(scatter(ctx, "pick", how, 0, index.view(), x.view(), out.view()),
                          Contains(message));
      }
    }
    set_num_threads(threads);
  }
}

TEST_CASE("an index into nothing is wrong, and no index is right", "[indexing][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor x(f32, {2, 0});
  const TestTensor index(i64, {2, 1});
  const TestTensor out(f32, {2, 1});
  CHECK_THROWS_WITH(gather(ctx, "gather", x.view(), 1, index.view(), out.view()),
                    Contains("dimension 1 of shape [2, 0] is empty"));
  const TestTensor none(i64, {2, 0});
  CHECK_NOTHROW(gather(ctx, "gather", x.view(), 1, none.view(), x.view()));
  CHECK_NOTHROW(scatter(ctx, "s", ScatterOp::add, 1, none.view(), x.view(), out.view()));
}

TEST_CASE("stretched dimensions are left out of a wrong index's position", "[indexing][cpu]") {
  ExecContext ctx = test_context();
  TestTensor flat(i64, {3});
  flat.set(2, 9);
  View index = flat.view();
  index.shape = {4, 3};
  index.strides = {0, 1};
  const TestTensor x(f32, {4, 5});
  const TestTensor out(f32, {4, 3});
  CHECK_THROWS_WITH(gather(ctx, "index_select", x.view(), 1, index, out.view()),
                    Contains("the index at [2] is 9") && Contains("takes 0..4"));
}

TEST_CASE("scatter does not add bools", "[indexing][cpu]") {
  ExecContext ctx = test_context();
  const TestTensor index(i64, {2});
  const TestTensor src(boolean, {2});
  const TestTensor out(boolean, {2});
  CHECK_THROWS_WITH(
      scatter(ctx, "scatter_add", ScatterOp::add, 0, index.view(), src.view(), out.view()),
      Contains("scatter_add") && Contains("bool"));
}

TEST_CASE("sums of repeated indices do not depend on the number of threads", "[indexing][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  const int threads = max_threads();
  const TestTensor index = random_indices({1000, 200}, 3, Layout::contiguous);
  const TestTensor src = TestTensor(f32, {1000, 200}).fill(Draw(-1, 1));
  for (const int dim : {0, 1}) {
    const TestTensor one(f32, {1000, 200});
    const TestTensor three(f32, {1000, 200});
    set_num_threads(1);
    scatter(ctx, "s", ScatterOp::add, dim, index.view(), src.view(), one.view());
    set_num_threads(3);
    scatter(ctx, "s", ScatterOp::add, dim, index.view(), src.view(), three.view());
    set_num_threads(threads);
    CHECK(one.same_bits(three));
  }
}
