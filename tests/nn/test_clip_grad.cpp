// Limits for gradients.

#include <cmath>
#include <limits>
#include <vector>

#include "minidl/nn/clip_grad.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor with_gradient(const Values& gradient, DType dtype = f64) {
  const Shape shape{static_cast<std::int64_t>(gradient.size())};
  const Tensor parameter = zeros(shape, {.dtype = dtype, .requires_grad = true});
  parameter.set_grad(tensor(gradient, shape, {.dtype = dtype}));
  return parameter;
}

}  // namespace

TEST_CASE("clip_grad_norm_: scales all gradients together", "[clip_grad]") {
  struct Row {
    double type, norm;
  };
  for (const auto& [type, norm] :
       {Row{2, 13}, Row{kInf, 12}, Row{1, 19}, Row{3, std::cbrt(1819)}}) {
    const Tensor a = with_gradient({3, -4});
    const Tensor b = with_gradient({12}, f32);
    const Tensor none = ones({2}, {.requires_grad = true});
    const Tensor total = nn::clip_grad_norm_({a, none, b}, 2, type);
    CAPTURE(type);
    CHECK(total.shape() == Shape{});
    CHECK(total.item() == Approx(norm));
    CHECK(a.grad().to_vector()[0] == Approx(3 * 2 / norm));
    CHECK(a.grad().to_vector()[1] == Approx(-4 * 2 / norm));
    CHECK(b.grad().item() == Approx(12 * 2 / norm));
    CHECK_FALSE(none.grad().defined());
  }
}

TEST_CASE("clip_grad_norm_: small gradients stay as they are, and without any it is 0",
          "[clip_grad]") {
  const Tensor a = with_gradient({3, -4});
  CHECK(nn::clip_grad_norm_({a}, 6).item() == 5);
  CHECK(a.grad().to_vector() == Values{3, -4});
  CHECK(nn::clip_grad_norm_({}, 1).item() == 0);
  CHECK(nn::clip_grad_norm_({ones({1}, {.requires_grad = true})}, 1).item() == 0);
  CHECK(nn::clip_grad_norm_({with_gradient({})}, 1, kInf).item() == 0);
}

TEST_CASE("clip_grad_norm_: of gradients in any layout, large and small", "[clip_grad]") {
  const Tensor p = zeros({3, 40, 5, 200}).channels_last().detach().set_requires_grad();
  p.set_grad(full({3, 40, 5, 200}, 1e25));  // its square is beyond f32
  CHECK(nn::clip_grad_norm_({p}, 1).item() == Approx(1e25 * std::sqrt(120000.0)));
  CHECK(p.grad().select(0, 2).amax().item() == Approx(1 / std::sqrt(120000.0)));
}

TEST_CASE("clip_grad_norm_: NaN and infinity", "[clip_grad]") {
  for (const double bad : {std::nan(""), kInf}) {
    for (const double type : {2.0, kInf, 1.0}) {
      const Tensor a = with_gradient({1, bad});
      CHECK_THROWS_WITH(nn::clip_grad_norm_({a}, 1, type, true), Contains("clip_grad_norm_"));
      CHECK(a.grad().to_vector()[0] == 1);  // refused before anything changed
      CHECK_FALSE(std::isfinite(nn::clip_grad_norm_({a}, 1, type).item()));
      CHECK(std::isnan(a.grad().to_vector()[1]));
    }
  }
}

TEST_CASE("clip_grad_value_: limits every element", "[clip_grad]") {
  const Tensor a = with_gradient({3, -4, 0.5});
  nn::clip_grad_value_({a, ones({1}, {.requires_grad = true})}, 2);
  CHECK(a.grad().to_vector() == Values{2, -2, 0.5});
}

TEST_CASE("clip_grad: impossible limits are refused", "[clip_grad]") {
  CHECK_THROWS_WITH(nn::clip_grad_norm_({}, -1), Contains("max_norm"));
  CHECK_THROWS_WITH(nn::clip_grad_norm_({}, NAN), Contains("max_norm"));
  CHECK_THROWS_WITH(nn::clip_grad_norm_({}, 1, 0.5), Contains("norm_type"));
  CHECK_THROWS_WITH(nn::clip_grad_value_({}, -1), Contains("clip_value"));
}
