// Methods that are functions elsewhere, changes in place, and the reductions made of others.

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/softmax.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

TEST_CASE("methods: they are the functions of their name", "[methods]") {
  const Tensor x = tensor({{0.5, -1.5}, {2.0, 0.25}}, {.dtype = f64});
  const Tensor y = tensor({{3.0, 1.0}, {-2.0, 4.0}}, {.dtype = f64});
  struct Row {
    std::string label;
    Tensor method;
    Tensor function;
  };
  const std::vector<Row> rows{
      {"add", x.add(y), x + y},
      {"add scaled", x.add(y, 2), x + y * 2},
      {"add number", x.add(2), x + 2},
      {"sub", x.sub(y), x - y},
      {"sub scaled", x.sub(y, 3), x - y * 3},
      {"sub number", x.sub(2), x - 2},
      {"mul", x.mul(y), x * y},
      {"mul number", x.mul(3), x * 3},
      {"div", x.div(y), x / y},
      {"div number", x.div(4), x / 4},
      {"neg", x.neg(), neg(x)},
      {"abs", x.abs(), abs(x)},
      {"exp", x.exp(), exp(x)},
      {"log", y.abs().log(), log(abs(y))},
      {"sqrt", y.abs().sqrt(), sqrt(abs(y))},
      {"pow", x.pow(2), pow(x, 2)},
      {"relu", x.relu(), relu(x)},
      {"sigmoid", x.sigmoid(), sigmoid(x)},
      {"tanh", x.tanh(), tanh(x)},
      {"softmax", x.softmax(1), softmax(x, 1)},
      {"log_softmax", x.log_softmax(0), log_softmax(x, 0)},
      {"matmul", x.matmul(y), matmul(x, y)},
      {"square", x.square(), square(x)},
      {"clamp", x.clamp(-1, 1), clamp(x, -1, 1)},
      {"clamp from below", x.clamp(0), clamp(x, 0)},
      {"masked_fill", x.masked_fill(y > 2, 7), masked_fill(x, y > 2, 7)},
      {"swapaxes", x.swapaxes(0, -1), x.t()},
      {"swapdims", x.swapdims(-2, 1), x.t()},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.method.to_vector() == row.function.to_vector());
  }
}

TEST_CASE("methods: scans and products are the functions of their name", "[methods][cpu]") {
  const Tensor x = tensor({{0.5, -1.5}, {2.0, 0.25}}, {.dtype = f64});
  CHECK(equal(x.cumsum(1), cumsum(x, 1)));
  CHECK(equal(x.cumprod(0), cumprod(x, 0)));
  CHECK(equal(x.prod(), prod(x)));
  CHECK(equal(x.prod(-1, true), prod(x, -1, true)));
}

TEST_CASE("methods: changes in place", "[methods]") {
  const auto changed = [](const std::function<void(const Tensor&)>& change) {
    const Tensor x = tensor({{1.0, -2.0}, {3.0, 4.0}});
    change(x.t());
    return x.to_vector();
  };
  const Tensor row = tensor({1.0, 2.0});  // the columns of x are multiplied by it
  CHECK(changed([](const Tensor& x) { x.add_(1); }) == Values{2, -1, 4, 5});
  CHECK(changed([](const Tensor& x) { x.sub_(1); }) == Values{0, -3, 2, 3});
  CHECK(changed([&](const Tensor& x) { x.sub_(row); }) == Values{0, -3, 1, 2});
  CHECK(changed([&](const Tensor& x) { x.sub_(row, 2); }) == Values{-1, -4, -1, 0});
  CHECK(changed([&](const Tensor& x) { x.mul_(row); }) == Values{1, -2, 6, 8});
  CHECK(changed([&](const Tensor& x) { x.div_(row); }) == Values{1, -2, 1.5, 2});
  CHECK(changed([](const Tensor& x) { x.div_(2); }) == Values{0.5, -1, 1.5, 2});
  CHECK(changed([](const Tensor& x) { x.mul_(x.t()); }) == Values{1, -6, -6, 16});
  CHECK(changed([](const Tensor& x) { x.clamp_(0, 3); }) == Values{1, 0, 3, 3});
  CHECK(changed([](const Tensor& x) { x.clamp_(2); }) == Values{2, 2, 3, 4});
  CHECK(changed([](const Tensor& x) { x.clamp_({}, 2); }) == Values{1, -2, 2, 2});
  CHECK(changed([](const Tensor& x) { x.masked_fill_(x > 2, 0.5); }) == Values{1, -2, 0.5, 0.5});
  CHECK(changed([&](const Tensor& x) { x.masked_fill_(row > 1, 9); }) == Values{1, -2, 9, 9});
  const Tensor flags = tensor({{true, false}, {true, true}});
  flags.masked_fill_(flags.t(), 0);  // the mask is read before it changes
  CHECK(flags.to_vector() == Values{0, 0, 1, 0});
  const Tensor whole = tensor({5, -7});
  whole.mul_(tensor({true, false})).add_(2).clamp_(3);
  CHECK(whole.to_vector() == Values{7, 3});
  CHECK(std::isnan(tensor({NAN}).clamp_(0, 1).item()));
  CHECK_NOTHROW(fake({2}).mul_(fake({2})).div_(2).clamp_(0).sub_(1));
}

TEST_CASE("methods: changes in place that cannot be are refused", "[methods]") {
  const Tensor whole = tensor({1, 2});
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[&] { whole.mul_(0.5); }, "mul_: i64 elements cannot take 0.5"},
      {[&] { whole.add_(0.5); }, "add_: i64 elements cannot take 0.5"},
      {[&] { whole.mul_(zeros({2})); }, "mul_: i64 elements cannot take those of a f32 tensor"},
      {[&] { whole.div_(2); }, "div_: i64 tensors do not divide"},
      {[&] { whole.div_(whole); }, "div_: i64 tensors do not divide"},
      {[&] { whole.clamp_(0.5); }, "clamp_: i64 elements cannot take 0.5"},
      {[&] { whole.masked_fill_(whole > 0, 0.5); }, "masked_fill_: i64 elements cannot be 0.5"},
      {[&] { whole.masked_fill_(whole, 1); }, "masked_fill_: the mask must be bool, not i64"},
      {[&] {
         whole.masked_fill_(ones({2, 2}, {.dtype = boolean}), 1);
       },
       "masked_fill_: [2, 2] does not stretch to [2]"},
      {[&] { whole.clamp_({}); }, "clamp_: neither a minimum nor a maximum"},
      {[&] { whole.sub_(zeros({3})); }, "sub_: shapes [2] and [3] do not broadcast"},
      {[&] {
         whole.mul_(ones({2, 2}, {.dtype = i64}));
       },
       "mul_: [2, 2] does not stretch to [2]"},
      {[] { zeros({2}).set_requires_grad().mul_(ones({2})); }, "mul_: autograd"},
      {[] { zeros({2}).mul_(ones({2}).set_requires_grad()); }, "mul_: autograd"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
  CHECK(whole.to_vector() == Values{1, 2});
}

TEST_CASE("methods: max and min with their places", "[methods]") {
  const Tensor x = tensor({{1.0, 5.0, 5.0}, {4.0, -3.0, 2.0}});
  const MaxResult largest = x.max(1);
  CHECK(largest.values.to_vector() == Values{5, 4});
  CHECK(largest.indices.to_vector() == Values{1, 0});
  CHECK(largest.indices.dtype() == i64);
  const auto [values, indices] = x.min(-2, /*keepdim=*/true);
  CHECK(values.shape() == Shape{1, 3});
  CHECK(values.to_vector() == Values{1, -3, 2});
  CHECK(indices.to_vector() == Values{0, 1, 1});
  CHECK(x.max().item() == 5);
  CHECK(x.min().item() == -3);
  CHECK_THROWS_WITH(x.max(2), Contains("max: dimension 2"));
  CHECK_THROWS_WITH(zeros({0}).max(), Contains("amax"));
}

TEST_CASE("methods: argmax and argmin", "[methods]") {
  const Tensor x = tensor({{3.0, 1.0}, {0.0, 9.0}});
  CHECK(x.argmax().item() == 3);
  CHECK(x.argmin().item() == 2);
  CHECK(x.argmin({}, /*keepdim=*/true).shape() == Shape{1, 1});
  CHECK(x.argmin(0).to_vector() == Values{1, 0});
  CHECK(x.t().argmax().item() == 3);
  CHECK(tensor({1.0, NAN, 0.0}).argmin().item() == 1);
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  CHECK(tensor({std::int64_t{0}, kLowest, kLowest + 1}).argmin().item() == 1);
  CHECK(scalar(2).argmax().item() == 0);
}

TEST_CASE("methods: var, std and norm at the edges", "[methods]") {
  CHECK(std::isnan(tensor({3.0}).var().item()));
  CHECK(std::isnan(zeros({0}).var().item()));
  CHECK(tensor({3.0}).var({}, /*unbiased=*/false).item() == 0);
  CHECK(tensor({1.0, 3.0}).std().item() == Approx(std::sqrt(2.0)));
  // Far from 0 the difference of the squares would have no digits left.
  CHECK(tensor({100001.0, 100002.0, 100003.0}).var().item() == Approx(1));
  CHECK(zeros({0}).norm().item() == 0);
  CHECK(tensor({0.0, -2.0, 0.5}).norm(0).item() == 2);
  CHECK(tensor({-3.0, 2.0}).norm(-INFINITY).item() == 2);
  const Tensor x = zeros({2}).set_requires_grad();
  for (const double p : {2.0, 3.0}) {
    x.zero_grad();
    x.norm(p).backward();
    CHECK(x.grad().to_vector() == Values{0, 0});
  }
  CHECK_THROWS_WITH(tensor({1, 2}).var(), Contains("var: i64 tensors are not supported"));
  CHECK_THROWS_WITH(tensor({1, 2}).norm(), Contains("norm: i64"));
}
