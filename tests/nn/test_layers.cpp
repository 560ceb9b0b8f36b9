// Convolutions of other kinds, norms of groups, resizing: modules against their operations.

#include <cmath>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/group_norm.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/group_norm.h"
#include "minidl/nn/modules/layer_norm.h"
#include "minidl/nn/modules/loss.h"
#include "minidl/nn/modules/upsample.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

struct Owner : nn::Module<Owner> {
  Tensor forward(const Tensor& x) { return x; }
};

void check_same(const Tensor& actual, const Tensor& expected) {
  CHECK(actual.shape() == expected.shape());
  CHECK(actual.to_vector() == expected.to_vector());
}

void check_within(const Tensor& parameter, double bound) {
  const double largest = abs(parameter.detach()).amax().item();
  CHECK(largest <= bound);
  CHECK(largest > bound / 10);
}

}  // namespace

TEST_CASE("layers: Conv1d", "[modules]") {
  manual_seed(0);
  nn::Conv1d layer({.in = 4, .out = 6, .kernel = 3, .stride = 2, .padding = 1, .groups = 2});
  CHECK(layer.weight.shape() == Shape{6, 2, 3});
  CHECK(layer.weight.unsqueeze(2).is_channels_last());
  check_within(layer.weight, 1 / std::sqrt(6.0));
  check_within(layer.bias, 1 / std::sqrt(6.0));
  const Tensor x = randn({2, 4, 7});
  check_same(layer(x),
             conv1d(x, layer.weight, layer.bias, {.stride = 2, .padding = 1, .groups = 2}));
  CHECK(layer(x).shape() == Shape{2, 6, 4});
  CHECK_FALSE(nn::Conv1d({.in = 1, .out = 1, .kernel = 1, .bias = false}).bias.defined());
  CHECK_THROWS_WITH(nn::Conv1d({.in = 4, .out = 6}), Contains("Conv1d") && Contains("kernel (0)"));
  CHECK_THROWS_WITH(nn::Conv1d({.in = 4, .out = 6, .kernel = 1, .groups = 4}),
                    Contains("Conv1d: 4 groups"));
  CHECK_THROWS_WITH(layer(ones({4, 7})), Contains("conv1d") && Contains("[4, 7]"));
}

TEST_CASE("layers: ConvTranspose2d", "[modules]") {
  manual_seed(0);
  nn::ConvTranspose2d layer({.in = 4,
                             .out = 6,
                             .kernel = {3, 2},
                             .stride = 2,
                             .padding = {1, 0},
                             .output_padding = {1, 0},
                             .groups = 2});
  CHECK(layer.weight.shape() == Shape{4, 3, 3, 2});
  CHECK(layer.weight.is_channels_last());
  check_within(layer.weight, 1 / std::sqrt(18.0));
  check_within(layer.bias, 1 / std::sqrt(18.0));
  const Tensor x = randn({2, 4, 3, 5});
  const Tensor y = layer(x);
  CHECK(y.shape() == Shape{2, 6, 6, 10});
  CHECK(y.is_channels_last());
  check_same(y, conv_transpose2d(
                    x, layer.weight, layer.bias,
                    {.stride = {2, 2}, .padding = {1, 0}, .output_padding = {1, 0}, .groups = 2}));
  CHECK_THROWS_WITH(nn::ConvTranspose2d({.in = 4, .out = 6}), Contains("kernel (0x0)"));
  CHECK_THROWS_WITH(nn::ConvTranspose2d({.in = 4, .out = 5, .kernel = 1, .groups = 2}),
                    Contains("ConvTranspose2d: 2 groups"));
}

TEST_CASE("layers: a transposed convolution is the adjoint of the convolution", "[modules]") {
  manual_seed(1);
  const Tensor weight = randn({3, 2, 3, 3}, {.dtype = f64});
  const Tensor x = randn({2, 2, 9, 8}, {.dtype = f64});
  const Conv2dParams params{.stride = {2, 2}, .padding = {1, 1}};
  const Tensor y = conv2d(x, weight, {}, params);
  const Tensor z = randn(y.shape(), {.dtype = f64});
  const Tensor back = conv_transpose2d(
      z, weight, {}, {.stride = {2, 2}, .padding = {1, 1}, .output_padding = {0, 1}});
  CHECK(back.shape() == x.shape());
  CHECK((y * z).sum().item() == Approx((x * back).sum().item()));
}

TEST_CASE("layers: GroupNorm and InstanceNorm", "[modules][cpu]") {
  manual_seed(0);
  const Tensor x = randn({2, 6, 3, 4});
  nn::GroupNorm layer({.groups = 3, .channels = 6, .eps = 0.1});
  CHECK(layer.weight.to_vector() == Values(6, 1));
  CHECK(layer.bias.to_vector() == Values(6, 0));
  layer.weight.detach().normal_();
  layer.bias.detach().normal_();
  check_same(layer(x), group_norm(x, 3, layer.weight, layer.bias, 0.1));
  CHECK(nn::GroupNorm({.groups = 3, .channels = 6, .affine = false}).parameters().empty());
  CHECK_THROWS_WITH(nn::GroupNorm({.groups = 4, .channels = 6}),
                    Contains("4 groups") && Contains("6"));
  CHECK_THROWS_WITH(layer(ones({2, 9, 1})), Contains("[2, 9, 1]") && Contains("[6]"));

  nn::InstanceNorm2d instance({.features = 6, .affine = true});
  check_same(instance(x), instance_norm(x, instance.weight, instance.bias));
  CHECK(nn::InstanceNorm2d({.features = 6}).parameters().empty());
  CHECK_THROWS_WITH(instance(ones({2, 5, 3, 3})), Contains("6 channels"));
  CHECK_THROWS_WITH(nn::InstanceNorm2d(nn::InstanceNormOptions{}), Contains("features"));
}

TEST_CASE("layers: group_norm of large numbers keeps their differences", "[modules][cpu]") {
  manual_seed(0);
  const Tensor x = randn({2, 4, 5, 6}, {.dtype = f64});
  const Tensor expected = group_norm(x, 2);
  for (const Tensor& far : {x + 1e6, (x + 1e6).channels_last()}) {
    const Values actual = group_norm(far, 2).to_vector();
    const Values wanted = expected.to_vector();
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CHECK(actual[i] == Approx(wanted[i]).margin(1e-8));
    }
  }
}

TEST_CASE("layers: RMSNorm", "[modules]") {
  manual_seed(0);
  const Tensor x = randn({2, 3, 4});
  nn::RMSNorm layer({.normalized_shape = {3, 4}, .eps = 0.1});
  CHECK(layer.weight.to_vector() == Values(12, 1));
  layer.weight.detach().normal_();
  check_same(layer(x), rms_norm(x, {3, 4}, layer.weight, 0.1));
  nn::RMSNorm plain({.normalized_shape = {4}, .elementwise_affine = false});
  CHECK(plain.parameters().empty());
  check_same(plain(x), rms_norm(x, {4}, {}, std::pow(2.0, -23)));
  CHECK(rms_norm(zeros({2}, {.dtype = f64}), {2}).to_vector() == Values{0, 0});
  CHECK_THROWS_WITH(nn::RMSNorm(nn::RMSNormOptions{}), Contains("RMSNorm"));
  CHECK_THROWS_WITH(layer(ones({2, 3})), Contains("rms_norm") && Contains("[2, 3]"));
}

TEST_CASE("layers: Upsample", "[modules][cpu]") {
  nn::Upsample nearest({.scale_factor = {{2, 2}}});
  const Tensor x = tensor({1, 2, 3, 4}, {1, 1, 2, 2});
  CHECK(nearest(x).to_vector() == Values{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
  nn::Upsample bilinear(
      {.size = {{3, 3}}, .mode = InterpolateMode::bilinear, .align_corners = true});
  CHECK(bilinear(x).to_vector() == Values{1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4});
  CHECK_THROWS_WITH(nn::Upsample(InterpolateOptions{})(x), Contains("either size or scale_factor"));
}

TEST_CASE("layers: Flatten and Unflatten", "[modules]") {
  const Tensor x = arange(24).reshape({2, 12});
  nn::Unflatten unflatten(-1, {3, -1});
  CHECK(unflatten(x).shape() == Shape{2, 3, 4});
  check_same(nn::Flatten(1)(unflatten(x)), x);
  CHECK(nn::Flatten(0, 1)(unflatten(x)).shape() == Shape{6, 4});
  CHECK(nn::Unflatten(0, {2, 1})(x).shape() == Shape{2, 1, 12});
  CHECK_THROWS_WITH(unflatten(ones({4})), Contains("reshape"));
  CHECK_THROWS_WITH(nn::Unflatten(2, {1})(x), Contains("Unflatten"));
}

TEST_CASE("layers: all can be made inside a parent", "[modules]") {
  Owner owner;
  nn::Conv1d conv1d(owner, "conv1d", {.in = 1, .out = 1, .kernel = 1});
  nn::ConvTranspose2d transpose(owner, "transpose", {.in = 1, .out = 1, .kernel = 1});
  nn::GroupNorm group(owner, "group", {.groups = 1, .channels = 1});
  nn::InstanceNorm2d instance(owner, "instance", {.features = 1});
  nn::RMSNorm rms(owner, "rms", {.normalized_shape = {1}});
  nn::Upsample upsample(owner, "upsample", {.size = {{1, 1}}});
  nn::Unflatten unflatten(owner, "unflatten", 0, {1});
  nn::Flatten flatten(owner, "flatten", 0);
  nn::MSELoss mse(owner, "mse");
  std::vector<std::string> names;
  for (const auto& entry : owner.named_modules()) names.push_back(entry.first);
  CHECK(names == std::vector<std::string>{"", "conv1d", "transpose", "group", "instance", "rms",
                                          "upsample", "unflatten", "flatten", "mse"});
  std::vector<std::string> parameters;
  for (const auto& entry : owner.named_parameters()) parameters.push_back(entry.name);
  CHECK(parameters == std::vector<std::string>{"conv1d.weight", "conv1d.bias", "transpose.weight",
                                               "transpose.bias", "group.weight", "group.bias",
                                               "rms.weight"});
}
