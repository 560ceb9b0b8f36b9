#include <cmath>
#include <vector>

#include "minidl/kernels/advanced_index.h"
#include "minidl/kernels/common/parallel.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

/// x [leading..., indexed..., trailing...] and the shape of the positions.
struct Case {
  Shape leading;
  Shape indexed;
  Shape trailing;
  Shape positions;

  Shape x() const { return joined(indexed); }
  Shape picked() const { return joined(positions); }
  Shape joined(const Shape& middle) const {
    Shape shape = leading;
    for (const std::int64_t extent : middle) shape.push_back(extent);
    for (const std::int64_t extent : trailing) shape.push_back(extent);
    return shape;
  }
};

const Case kCases[] = {{{}, {7}, {}, {5}},       {{}, {7}, {}, {}},
                       {{}, {3}, {4}, {2, 3}},   {{3}, {5}, {}, {9}},
                       {{2}, {3, 4}, {5}, {6}},  {{2, 3}, {4}, {2, 2}, {3}},
                       {{}, {2, 3, 2}, {}, {8}}, {{2}, {3}, {4}, {0}},
                       {{0}, {3}, {4}, {2}},     {{}, {3}, {37}, {11}}};

std::vector<TestTensor> random_positions(const Case& c, Layout layout) {
  std::vector<TestTensor> positions;
  for (const std::int64_t extent : c.indexed) {
    const auto count = static_cast<double>(extent);
    Draw draw(-count, count);
    positions.push_back(
        TestTensor(i64, c.positions, layout).fill([&] { return std::floor(draw()); }));
  }
  return positions;
}

/// The number of x's element behind each picked one.
std::vector<std::int64_t> sources(const Case& c, const std::vector<TestTensor>& positions) {
  std::vector<std::int64_t> result;
  for (std::int64_t a = 0; a < numel(c.leading); ++a) {
    for (std::int64_t p = 0; p < numel(c.positions); ++p) {
      std::int64_t source = a;
      for (int i = 0; i < c.indexed.size(); ++i) {
        const auto at = static_cast<std::int64_t>(positions[static_cast<std::size_t>(i)].get(p));
        source = source * c.indexed[i] + (at < 0 ? at + c.indexed[i] : at);
      }
      for (std::int64_t k = 0; k < numel(c.trailing); ++k) {
        result.push_back(source * numel(c.trailing) + k);
      }
    }
  }
  return result;
}

/// Calls f(case, positions, dims, layout of operands, layout of results).
template <class F>
void for_each_case(const F& f) {
  for (const Case& c : kCases) {
    for (const Layout in : kLayouts) {
      const std::vector<TestTensor> positions = random_positions(c, in);
      std::vector<View> views;
      for (const TestTensor& tensor : positions) views.push_back(tensor.view());
      Dims names;
      for (int i = 0; i < c.indexed.size(); ++i) names.push_back(c.leading.size() + i);
      const IndexedDims dims{.first = c.leading.size(), .positions = views, .names = names};
      for (const Layout out : kOutputLayouts) f(c, positions, dims, in, out);
    }
  }
}

}  // namespace

// They have no CUDA side: the views are the host's.
TEST_CASE("index_get picks elements by position", "[index][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx{.device = minidl::cpu};
  for (const DType dtype : {f32, f16, u8, i64}) {
    for_each_case([&](const Case& c, const auto& positions, const IndexedDims& dims, Layout in,
                      Layout layout) {
      Draw draw(0, 100);
      const TestTensor x = TestTensor(dtype, c.x(), in).fill([&] { return std::floor(draw()); });
      const TestTensor out(dtype, c.picked(), layout);
      index_get(ctx, x.view(), dims, out.view());
      std::vector<double> expected;
      for (const std::int64_t source : sources(c, positions)) expected.push_back(x.get(source));
      INFO(describe(x) << " at " << to_string(c.positions));
      CHECK(out.values() == expected);
    });
  }
}

TEST_CASE("index_put and index_add place elements in order", "[index][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx{.device = minidl::cpu};
  for (const DType dtype : {f32, i32, f64}) {
    for (const bool accumulate : {false, true}) {
      for_each_case([&](const Case& c, const auto& positions, const IndexedDims& dims, Layout in,
                        Layout layout) {
        Draw draw(0, 100);
        const auto whole = [&] { return std::floor(draw()); };
        const TestTensor values = TestTensor(dtype, c.picked(), in).fill(whole);
        const TestTensor x = TestTensor(dtype, c.x(), layout).fill(whole);
        std::vector<double> expected = x.values();
        std::int64_t next = 0;
        for (const std::int64_t source : sources(c, positions)) {
          double& element = expected[static_cast<std::size_t>(source)];
          element = accumulate ? element + values.get(next) : values.get(next);
          ++next;
        }
        (accumulate ? index_add : index_put)(ctx, values.view(), dims, x.view());
        INFO(describe(values) << " into " << describe(x) << " at " << to_string(c.positions));
        CHECK(x.values() == expected);
      });
    }
  }
}

TEST_CASE("index_add does not depend on the number of threads", "[index][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx{.device = minidl::cpu};
  const Case c{{}, {50}, {64}, {3000}};
  const std::vector<TestTensor> positions = random_positions(c, Layout::contiguous);
  const View view = positions[0].view();
  const IndexedDims dims{.first = 0, .positions = {&view, 1}, .names = {0}};
  const TestTensor values = TestTensor(f32, c.picked()).fill(Draw(-1, 1));
  const int threads = max_threads();
  std::vector<TestTensor> results;
  for (const int count : {1, 3, threads}) {
    set_num_threads(count);
    results.emplace_back(f32, c.x());
    index_add(ctx, values.view(), dims, results.back().view());
  }
  set_num_threads(threads);
  CHECK(results[1].same_bits(results[0]));
  CHECK(results[2].same_bits(results[0]));
}

TEST_CASE("index kernels refuse positions out of range before they write", "[index][cpu]") {
  ExecContext ctx{.device = minidl::cpu};
  for (const double wrong : {4.0, -5.0}) {
    TestTensor positions(i64, {2, 2});
    positions.set(2, wrong);
    const View view = positions.view();
    const IndexedDims dims{.first = 1, .positions = {&view, 1}, .names = {3}};
    const TestTensor x(f32, {2, 4});
    const TestTensor values = TestTensor(f32, {2, 2, 2}).fill([] { return 1.0; });
    const std::string text = "index: the position at [1, 0] is " +
                             std::to_string(static_cast<int>(wrong)) +
                             ", which is out of range for dimension 3 of extent 4";
    CHECK_THROWS_WITH(index_get(ctx, x.view(), dims, values.view()), Contains(text));
    CHECK_THROWS_WITH(index_put(ctx, values.view(), dims, x.view()), Contains(text));
    CHECK_THROWS_WITH(index_add(ctx, values.view(), dims, x.view()), Contains(text));
    CHECK(x.values() == std::vector<double>(8));
  }
}
