// Comparisons and logic through the public interface: values, dtypes, gradients where there are
// any, and what is refused.

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr DType kAll[] = {boolean, u8, i8, i32, i64, f16, bf16, f32, f64};

Tensor of(const Values& values, DType dtype = f32) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = dtype});
}

struct Row {
  std::string label;
  Tensor actual;
  Values expected;
};

void check_rows(const std::vector<Row>& rows, DType dtype) {
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.actual.dtype() == dtype);
    CHECK(row.actual.to_vector() == row.expected);
  }
}

struct Refusal {
  std::function<void()> run;
  std::vector<std::string> texts;
};

void check_refused(const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    for (const std::string& text : refusal.texts) CHECK_THROWS_WITH(refusal.run(), Contains(text));
  }
}

}  // namespace

TEST_CASE("comparison: operators of two tensors give bool", "[comparison]") {
  const Tensor a = of({1, 2, 3, kNan});
  const Tensor b = of({2, 2, 2, kNan});
  check_rows({{"==", a == b, {0, 1, 0, 0}},
              {"!=", a != b, {1, 0, 1, 1}},
              {"<", a < b, {1, 0, 0, 0}},
              {"<=", a <= b, {1, 1, 0, 0}},
              {">", a > b, {0, 0, 1, 0}},
              {">=", a >= b, {0, 1, 1, 0}},
              {"eq", eq(a, b), {0, 1, 0, 0}},
              {"ge", ge(a, b), {0, 1, 1, 0}}},
             boolean);
}

TEST_CASE("comparison: operators with a number on either side", "[comparison]") {
  const Tensor a = of({1, 2, 3, kNan});
  check_rows({{"a == 2", a == 2, {0, 1, 0, 0}},
              {"2 == a", 2 == a, {0, 1, 0, 0}},
              {"a != 2", a != 2, {1, 0, 1, 1}},
              {"2 != a", 2 != a, {1, 0, 1, 1}},
              {"a < 2", a < 2, {1, 0, 0, 0}},
              {"2 < a", 2 < a, {0, 0, 1, 0}},
              {"a <= 2", a <= 2, {1, 1, 0, 0}},
              {"2 <= a", 2 <= a, {0, 1, 1, 0}},
              {"a > 2", a > 2, {0, 0, 1, 0}},
              {"2 > a", 2 > a, {1, 0, 0, 0}},
              {"a >= 2", a >= 2, {0, 1, 1, 0}},
              {"2 >= a", 2 >= a, {1, 1, 0, 0}}},
             boolean);
}

TEST_CASE("comparison: every pair of dtypes meets", "[comparison]") {
  for (const DType left : kAll) {
    const Tensor a = of({0, 1}, left);
    for (const DType right : kAll) {
      INFO(name(left) << " with " << name(right));
      CHECK((a == of({1, 1}, right)).to_vector() == Values{0, 1});
      CHECK((a < of({1, 1}, right)).to_vector() == Values{1, 0});
    }
    INFO(name(left));
    CHECK((a >= 1).to_vector() == Values{0, 1});
    CHECK((a > 0.5).to_vector() == Values{0, 1});
    CHECK((a < kInf).to_vector() == Values{1, 1});
    CHECK((a == kNan).to_vector() == Values{0, 0});
    CHECK((a > -1e30).to_vector() == Values{1, 1});
    CHECK(logical_not(a).to_vector() == Values{1, 0});
    CHECK(isfinite(a).to_vector() == Values{1, 1});
    CHECK(isnan(a).to_vector() == Values{0, 0});
    CHECK(isinf(a).to_vector() == Values{0, 0});
    CHECK(any(a).item() == 1);
    CHECK(all(a).item() == 0);
  }
}

TEST_CASE("comparison: a number is compared in the tensor's precision", "[comparison]") {
  for (const DType dtype : {f16, bf16, f32, f64}) {
    INFO(name(dtype));
    CHECK((of({0.1}, dtype) == 0.1).item() == 1);
  }
  CHECK((of({255}, u8) == -1).item() == 0);
  CHECK((of({1}, boolean) == 2).item() == 0);
  CHECK((of({-1}, i32) < 4294967295.0).item() == 1);
}

TEST_CASE("comparison: shapes broadcast, empty ones too", "[comparison]") {
  const Tensor column = tensor({1, 2}, {2, 1});
  const Tensor row = tensor({1, 2, 3}, {3});
  CHECK((column < row).to_vector() == Values{0, 1, 1, 0, 0, 1});
  CHECK((column == scalar(2)).to_vector() == Values{0, 1});
  CHECK((zeros({0, 3}) == row).shape() == Shape{0, 3});
  CHECK((zeros({0}) < 1).shape() == Shape{0});
}

TEST_CASE("comparison: logic takes any dtype", "[comparison]") {
  const Tensor a = of({0, 0, 2, kNan});
  const Tensor b = of({0, -3, 0, 1}, i32);
  check_rows({{"and", logical_and(a, b), {0, 0, 0, 1}},
              {"or", logical_or(a, b), {0, 1, 1, 1}},
              {"xor", logical_xor(a, b), {0, 1, 1, 0}},
              {"not", logical_not(a), {1, 1, 0, 0}},
              {"&", (a > 1) & (b == 0), {0, 0, 1, 0}},
              {"|", (a > 1) | (b == 1), {0, 0, 1, 1}},
              {"^", (a > 1) ^ (b == 0), {1, 0, 0, 0}},
              {"~", ~(a > 1), {1, 1, 0, 1}},
              {"isnan", isnan(a), {0, 0, 0, 1}},
              {"isinf", isinf(of({kInf, -kInf, kNan, 1})), {1, 1, 0, 0}},
              {"isfinite", isfinite(of({kInf, -kInf, kNan, 1})), {0, 0, 0, 1}}},
             boolean);
}

TEST_CASE("comparison: any and all along dimensions", "[comparison]") {
  const Tensor x = tensor({0, 0, 1, 2, 0, kNan}, {3, 2});
  check_rows({{"any", any(x), {1}},
              {"all", all(x), {0}},
              {"any of rows", any(x, {1}), {0, 1, 1}},
              {"all of rows", all(x, {-1}), {0, 1, 0}},
              {"any of columns", any(x, {0}), {1, 1}},
              {"any of nothing", any(zeros({0})), {0}},
              {"all of nothing", all(zeros({0})), {1}},
              {"all of empty rows", all(zeros({2, 0}), {1}), {1, 1}}},
             boolean);
  CHECK(any(x, {1}, /*keepdim=*/true).shape() == Shape{3, 1});
  CHECK(any(scalar(3)).item() == 1);
}

TEST_CASE("comparison: isclose, allclose and equal", "[comparison]") {
  const Tensor a = of({1, 1, kInf, kInf, kNan, 0});
  const Tensor b = of({1.000001, 1.1, kInf, -kInf, kNan, 1e-9});
  CHECK(isclose(a, b).to_vector() == Values{1, 0, 1, 0, 0, 1});
  CHECK(isclose(a, b, 1e-5, 1e-8, /*equal_nan=*/true).to_vector() == Values{1, 0, 1, 0, 1, 1});
  CHECK(isclose(a, b, 0, 0).to_vector() == Values{0, 0, 1, 0, 0, 0});
  CHECK(isclose(a, b, 0, 0.2).to_vector() == Values{1, 1, 1, 0, 0, 1});
  CHECK(isclose(of({100}, i32), of({101}, i64), 0.02).item() == 1);
  CHECK(isclose(of({1}, bf16), of({1}, f16)).item() == 1);
  CHECK(allclose(of({1, 2}), of({1, 2.00001})));
  CHECK_FALSE(allclose(of({1, 2}), of({1, 2.001})));
  CHECK(allclose(ones({2, 2}), scalar(1)));
  CHECK(allclose(zeros({0}), zeros({0})));
  CHECK(equal(of({1, 2}), of({1, 2}, i64)));
  CHECK_FALSE(equal(of({1, 2}), of({1, 3})));
  CHECK_FALSE(equal(ones({2, 2}), ones({2})));
  CHECK_FALSE(equal(of({kNan}), of({kNan})));
  CHECK(equal(zeros({0, 2}), zeros({0, 2})));
}

TEST_CASE("comparison: where and masked_fill choose dtypes as PyTorch does", "[comparison]") {
  const Tensor mask = of({1, 0}, boolean);
  const Tensor whole = of({5, 6}, i64);
  check_rows({{"two f32", where(mask, of({1, 2}), of({3, 4})), {1, 4}},
              {"a fraction beside i64", where(mask, whole, 0.5), {5, 0.5}},
              {"a fraction before i64", where(mask, 0.5, whole), {0.5, 6}},
              {"f32 with i64", where(mask, of({0.5, 1}), whole), {0.5, 6}},
              {"two numbers", where(mask, kInf, -1), {kInf, -1}},
              {"NaN not chosen", where(mask, 1, of({kNan, kNan})).slice(0, 0, 1), {1}},
              {"filled", masked_fill(of({1, 2}), mask, -kInf), {-kInf, 2}}},
             f32);
  check_rows({{"a number beside i64", where(mask, whole, -1), {5, -1}},
              {"filled i64", masked_fill(whole, mask, 7), {7, 6}}},
             i64);
  check_rows({{"bool", where(mask, of({0, 0}, boolean), of({1, 1}, boolean)), {0, 1}}}, boolean);
  check_rows({{"f16", masked_fill(of({1, 2}, f16), mask, 0.5), {0.5, 2}}}, f16);
}

TEST_CASE("comparison: choices and gradients", "[comparison]") {
  const Tensor x = of({0, 4}).set_requires_grad();
  where(x > 0, sqrt(x), 0).sum().backward();   // the square root's slope at 0 is infinite
  CHECK(std::isnan(x.grad().to_vector()[0]));  // 0 times infinity, as in PyTorch
  x.zero_grad();
  sqrt(where(x > 0, x, 1)).sum().backward();
  CHECK(x.grad().to_vector() == Values{0, 0.25});
  CHECK_FALSE((x > 0).requires_grad());
  CHECK_FALSE(floor_divide(x, x).requires_grad());
}

TEST_CASE("comparison: what is refused, and what to do", "[comparison]") {
  const Tensor x = of({1, 2});
  const Tensor whole = of({1, 2}, i32);
  check_refused({
      {[&] { where(x, x, x); }, {"where", "condition", "bool", "f32", "x != 0"}},
      {[&] { where(whole, x, 1); }, {"where", "bool", "i32"}},
      {[&] { masked_fill(x, x, 1); }, {"masked_fill", "mask", "bool", "f32"}},
      {[&] { masked_fill(whole, whole == 1, 0.5); }, {"masked_fill", "i32", "0.5", ".to(f32)"}},
      {[&] { masked_fill(whole, whole == 1, kInf); }, {"masked_fill", "inf"}},
      {[&] { where(x > 1, ones({3}), x); }, {"where", "[3]", "[2]"}},
      {[&] { (void)(x == ones({3})); }, {"eq", "[3]", "[2]"}},
      {[&] { isclose(x, x, -1); }, {"isclose", "-1"}},
      {[&] { equal(fake({2}), x); }, {"fake"}},
  });
}

TEST_CASE("integers: division, remainders, powers and bits", "[integers]") {
  const Tensor a = of({7, -7, 6}, i32);
  const Tensor b = of({2, 2, -4}, i32);
  check_rows({{"a / b", a / b, {3.5, -3.5, -1.5}},
              {"a / 2", a / 2, {3.5, -3.5, 3}},
              {"bool / bool", of({1, 1}, boolean) / of({1, 1}, boolean), {1, 1}},
              {"floor_divide by a fraction", floor_divide(a, 0.5), {14, -14, 12}},
              {"remainder of a fraction", a % 1.5, {1, 0.5, 0}},
              {"floor_divide of f32", floor_divide(of({7, -7}), of({2, 2})), {3, -4}}},
             f32);
  check_rows({{"floor_divide", floor_divide(a, b), {3, -4, -2}},
              {"remainder", a % b, {1, 1, -2}},
              {"floor_divide by a number", floor_divide(a, -2), {-4, 3, -3}},
              {"remainder of a number", a % 4, {3, 1, 2}},
              {"pow", pow(a, of({2}, i32)), {49, 49, 36}},
              {"and", a & b, {2, 0, 4}},
              {"or", a | of({8}, i32), {15, -7, 14}},
              {"xor", a ^ a, {0, 0, 0}},
              {"not", ~a, {-8, 6, -7}},
              {"clamp", clamp(a, -1, 6), {6, -1, 6}},
              {"clamp_max beyond the dtype", clamp_max(a, 1e12), {7, -7, 6}},
              {"sign", sign(a), {1, -1, 1}},
              {"floor", floor(a), {7, -7, 6}}},
             i32);
  const Tensor zero = of({0}, i32);
  check_refused({
      {[&] { floor_divide(a, zero).to_vector(); }, {"floor_divide", "divided by 0", ".to(f32)"}},
      {[&] { (a % zero).to_vector(); }, {"remainder", "divided by 0"}},
      {[&] { floor_divide(a, 0); }, {"floor_divide", "i32", "divided by 0"}},
      {[&] { (void)(a & of({1})); }, {"bitwise_and", "f32", ".to(dtype)"}},
      {[&] { (void)~of({1}); }, {"bitwise_not", "f32"}},
      {[&] { silu(a); }, {"silu", "i32", ".to(dtype)"}},
  });
}

TEST_CASE("clamp: limits may be left out, crossed or NaN", "[comparison]") {
  const Tensor x = of({-2, 0, 2, kNan});
  CHECK(clamp(x, -1, 1).slice(0, 0, 3).to_vector() == Values{-1, 0, 1});
  CHECK(std::isnan(clamp(x, -1, 1).to_vector()[3]));
  CHECK(clamp(x, {}, 1).slice(0, 0, 3).to_vector() == Values{-2, 0, 1});
  CHECK(clamp(x, 1).slice(0, 0, 3).to_vector() == Values{1, 1, 2});
  CHECK(clamp(x, 1, -1).slice(0, 0, 3).to_vector() == Values{-1, -1, -1});
  const Tensor lost = clamp(of({1}), kNan, 2);
  CHECK(std::isnan(lost.item()));
  check_refused({{[&] { clamp(x, {}); }, {"clamp", "min, max or both"}},
                 {[&] { hardtanh(x, 1, 1); }, {"hardtanh", "below", "1"}}});
}

TEST_CASE("clamp has gradient 0 at its limits, as hardtanh has", "[comparison]") {
  const Tensor x = of({-INFINITY, -2, -1, 0, 1, 2, INFINITY, NAN}).set_requires_grad();
  const std::pair<std::function<Tensor()>, Values> rows[] = {
      {[&] { return clamp(x, -1, 1); }, {0, 0, 0, 1, 0, 0, 0, 0}},
      {[&] { return hardtanh(x); }, {0, 0, 0, 1, 0, 0, 0, 0}},
      {[&] { return clamp(x, -1); }, {0, 0, 0, 1, 1, 1, 1, 0}},
      {[&] { return clamp(x, {}, 1); }, {1, 1, 1, 1, 0, 0, 0, 0}},
  };
  for (const auto& [run, gradient] : rows) {
    x.zero_grad();
    run().sum().backward();
    CHECK(x.grad().to_vector() == gradient);
  }
}

TEST_CASE("pow of tensors has no NaN in its gradients at 0", "[comparison]") {
  const Tensor a = of({0, 0, 2}).set_requires_grad();
  const Tensor b = of({0, 2, 3}).set_requires_grad();
  pow(a, b).sum().backward();
  CHECK(a.grad().to_vector() == Values{0, 0, 12});
  const Values slopes = b.grad().to_vector();
  CHECK(slopes[0] == 0);
  CHECK(slopes[1] == 0);
  CHECK(std::abs(slopes[2] - 8 * std::log(2.0)) < 1e-5);
}
