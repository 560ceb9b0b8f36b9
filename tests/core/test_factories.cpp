// Tensors from braces and vectors, ranges, random integers, likenesses; reading them back typed.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/random.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using Values = std::vector<double>;

TEST_CASE("factories: nested braces give shape and dtype", "[factories]") {
  struct Row {
    Tensor tensor;
    Shape shape;
    DType dtype;
    Values values;
  };
  const std::vector<Row> rows{
      {tensor({1, 2, 3}), {3}, i64, {1, 2, 3}},
      {tensor({1.5, 2.0}), {2}, f32, {1.5, 2}},
      {tensor({1, 2.5}), {2}, f32, {1, 2.5}},
      {tensor({true, false}), {2}, boolean, {1, 0}},
      {tensor({true, 2}), {2}, i64, {1, 2}},
      {tensor({7}), {1}, i64, {7}},
      {tensor(7), {}, i64, {7}},
      {tensor(7.5f), {}, f32, {7.5}},
      {tensor({{1, 2}, {3, 4}}), {2, 2}, i64, {1, 2, 3, 4}},
      {tensor({{1}, {2}}), {2, 1}, i64, {1, 2}},
      {tensor({{1, 2}}), {1, 2}, i64, {1, 2}},
      {tensor({{{1, 2, 3}}, {{4, 5, 6.5}}}), {2, 1, 3}, f32, {1, 2, 3, 4, 5, 6.5}},
      {tensor({}), {0}, f32, {}},
      {tensor({{}, {}}), {2, 0}, f32, {}},
      {tensor({1, 2}, {.dtype = f64}), {2}, f64, {1, 2}},
      {tensor({300, 2.9}, {.dtype = u8}), {2}, u8, {255, 2}},
  };
  for (const Row& row : rows) {
    CAPTURE(describe(row.tensor));
    CHECK(row.tensor.shape() == row.shape);
    CHECK(row.tensor.dtype() == row.dtype);
    CHECK(row.tensor.to_vector() == row.values);
  }
  CHECK(tensor({1.0}, {.requires_grad = true}).requires_grad());
}

TEST_CASE("factories: vectors of any element type", "[factories]") {
  CHECK(tensor(std::vector<double>{1, 2}).dtype() == f32);
  CHECK(tensor(std::vector<float>{1, 2}).dtype() == f32);
  CHECK(tensor(std::vector<std::uint8_t>{1, 2}).dtype() == i64);
  CHECK(tensor(std::vector<bool>{true, false, true}).to_vector<bool>() ==
        std::vector<bool>{true, false, true});
  const std::vector<std::int64_t> large{(std::int64_t{1} << 53) + 1, INT64_MIN};
  CHECK(tensor(large).to_vector<std::int64_t>() == large);
  const Tensor matrix = tensor(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6}, {3, 2});
  CHECK(matrix.shape() == Shape{3, 2});
  CHECK(tensor(std::vector<float>{1, 0}, {2, 1}, {.dtype = boolean}).dtype() == boolean);
  CHECK(tensor(std::vector<float>{}).shape() == Shape{0});
}

TEST_CASE("factories: elements are read back as any type", "[factories]") {
  CHECK(tensor(9007199254740993).item<std::int64_t>() == 9007199254740993);
  CHECK(tensor(2.75).item<std::int32_t>() == 2);
  CHECK(tensor(-3).item<bool>());
  CHECK(tensor(0.5).item<float>() == 0.5f);
  CHECK(tensor({{1, 2}, {3, 4}}).t().to_vector<std::int8_t>() ==
        std::vector<std::int8_t>{1, 3, 2, 4});
  CHECK_THROWS_WITH(tensor({1, 2}).item<float>(), Contains("item: a tensor of shape [2]"));
}

TEST_CASE("factories: arange as in Python", "[factories]") {
  CHECK(arange(2, 5).to_vector() == Values{2, 3, 4});
  CHECK(arange(2, 5).dtype() == i64);
  CHECK(arange(5, -2, -3).to_vector() == Values{5, 2, -1});
  CHECK(arange(0, 1, 0.25).to_vector() == Values{0, 0.25, 0.5, 0.75});
  CHECK(arange(0, 1, 0.25).dtype() == f32);
  CHECK(arange(2.5).to_vector() == Values{0, 1, 2});
  CHECK(arange(3, 3).numel() == 0);
  CHECK(arange(0, 3, {.dtype = bf16}).to_vector() == Values{0, 1, 2});
  CHECK(arange(0, 6, 2, {.dtype = f64}).to_vector() == Values{0, 2, 4});
  CHECK_THROWS_WITH(arange(0, 3, 0), Contains("arange: from 0 to 3 in steps of 0"));
  CHECK_THROWS_WITH(arange(3, 0), Contains("arange: steps of 1 do not lead from 3 to 0"));
  CHECK_THROWS_WITH(arange(0, INFINITY), Contains("no finite range"));
}

TEST_CASE("factories: linspace includes both ends exactly", "[factories]") {
  CHECK(linspace(0, 1, 5).to_vector() == Values{0, 0.25, 0.5, 0.75, 1});
  CHECK(linspace(3, -3, 3, {.dtype = i32}).to_vector() == Values{3, 0, -3});
  CHECK(linspace(2, 5, 1).to_vector() == Values{2});
  CHECK(linspace(2, 5, 0).numel() == 0);
  const Values values = linspace(0, 0.1, 1001, {.dtype = f64}).to_vector();
  CHECK(values.back() == 0.1);
  CHECK(values[500] == Approx(0.05));
  CHECK_THROWS_WITH(linspace(0, 1, -1), Contains("linspace: -1 steps"));
}

TEST_CASE("factories: eye", "[factories]") {
  CHECK(eye(2).to_vector() == Values{1, 0, 0, 1});
  CHECK(eye(2, 3, {.dtype = boolean}).to_vector() == Values{1, 0, 0, 0, 1, 0});
  CHECK(eye(3, 1).to_vector() == Values{1, 0, 0});
  CHECK(eye(0).shape() == Shape{0, 0});
}

TEST_CASE("factories: random integers are in range, even and reproducible", "[factories]") {
  INFO("MINIDL_TEST_SEED=" << test::test_seed());
  manual_seed(test::test_seed());
  const Tensor x = randint(-2, 5, {7000});
  CHECK(x.dtype() == i64);
  Values counts(7);
  for (const std::int64_t value : x.to_vector<std::int64_t>()) {
    REQUIRE(value >= -2);
    REQUIRE(value < 5);
    ++counts[static_cast<std::size_t>(value + 2)];
  }
  // 1000 are expected of each, with a deviation of 29.
  for (const double count : counts) CHECK(std::abs(count - 1000) < 6 * 29.3);
  const Tensor next = randint(7, {2, 3}, {.dtype = f32});
  CHECK(next.dtype() == f32);
  manual_seed(test::test_seed());
  CHECK(randint(-2, 5, {7000}).to_vector() == x.to_vector());
  CHECK(randint(7, {2, 3}).to_vector() == next.to_vector());
  CHECK(randint(3, 4, {2}).to_vector() == Values{3, 3});
  CHECK_NOTHROW(randint(INT64_MIN, INT64_MAX, {4}));
  CHECK_THROWS_WITH(randint(3, 3, {2}), Contains("randint: there is no integer from 3"));
}

TEST_CASE("factories: randperm is a permutation", "[factories]") {
  const Tensor order = randperm(100);
  CHECK(order.dtype() == i64);
  Values values = order.to_vector();
  CHECK_FALSE(std::is_sorted(values.begin(), values.end()));
  std::sort(values.begin(), values.end());
  CHECK(values == arange(100).to_vector());
  CHECK(randperm(0).numel() == 0);
  CHECK_THROWS_WITH(randperm(-1), Contains("-1 elements cannot be shuffled"));
}

TEST_CASE("factories: likenesses keep shape, dtype and layout", "[factories][fake]") {
  const Tensor image = zeros({2, 3, 4, 5}, {.dtype = f64}).channels_last();
  const std::vector<std::function<Tensor(const Tensor&)>> makers{
      ones_like, rand_like, randn_like, [](const Tensor& x) { return full_like(x, 2.5); }};
  for (const auto& make : makers) {
    const Tensor made = make(image);
    CHECK(made.shape() == image.shape());
    CHECK(made.dtype() == f64);
    CHECK(made.is_channels_last());
    CHECK(make(fake({2, 2})).is_fake());
  }
  CHECK(ones_like(image).sum().item() == 120);
  CHECK(full_like(tensor({1, 2}), 3).to_vector() == Values{3, 3});
  const Values uniform = rand_like(image).to_vector();
  CHECK(*std::min_element(uniform.begin(), uniform.end()) >= 0);
  CHECK(*std::max_element(uniform.begin(), uniform.end()) < 1);
}

TEST_CASE("factories: to a device and a dtype at once", "[factories]") {
  const Tensor moved = tensor({1.5, -2.0}, {.device = cpu}).to(default_device(), i32);
  CHECK(moved.device() == default_device());
  CHECK(moved.to_vector() == Values{1, -2});
  CHECK(moved.to(cpu, f64).to_vector() == Values{1, -2});
}

TEST_CASE("factories: misuse is refused", "[factories]") {
  CHECK_THROWS_WITH(tensor({{1, 2}, {3}}),
                    Contains("tensor: parts of shapes [2] and [1] stand side by side"));
  CHECK_THROWS_WITH(tensor({{1, 2}, 3}), Contains("tensor: parts of shapes [2] and [] stand"));
  CHECK_THROWS_WITH(tensor(std::vector<float>{1, 2}, {3}),
                    Contains("tensor: 2 values do not fill a tensor of shape [3]"));
  CHECK_THROWS_WITH(tensor({1, 2}, {.requires_grad = true}), Contains("i64 tensors have no"));
}
