// Losses where formulas in the op table do not reach: extreme values, labels, misuse.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "tests/catch.h"
#include "tests/core/leaf.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor labels(const Values& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = i64});
}

Tensor row(const Values& values, DType dtype = f32) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = dtype});
}

}  // namespace

TEST_CASE("losses: logits of any size have finite losses and gradients", "[loss]") {
  for (const DType dtype : {f32, f64}) {
    const Tensor x = row({-1e4, -800, 800, 1e4}, dtype).set_requires_grad();
    const Tensor y = row({1, 0, 1, 0}, dtype);
    const Tensor losses = binary_cross_entropy_with_logits(x, y, {}, LossReduction::none);
    CHECK(losses.to_vector() == Values{1e4, 0, 0, 1e4});
    losses.sum().backward();
    CHECK(x.grad().to_vector() == Values{-1, 0, 0, 1});
    const Tensor weighted = binary_cross_entropy_with_logits(x.detach(), y, {}, LossReduction::none,
                                                             tensor({3}, {1}, {.dtype = dtype}));
    CHECK(weighted.to_vector() == Values{3e4, 0, 0, 1e4});
  }
}

TEST_CASE("losses: probabilities of 0 and 1 have the loss that PyTorch gives them", "[loss]") {
  const Tensor x = row({0, 1, 0, 1}).set_requires_grad();
  const Tensor losses = binary_cross_entropy(x, row({1, 0, 0, 1}), {}, LossReduction::none);
  CHECK(losses.to_vector() == Values{100, 100, 0, 0});
  losses.sum().backward();
  CHECK(x.grad().select(0, 0).item() == Approx(-1e12));
  CHECK(x.grad().select(0, 1).item() == Approx(1e12));
  CHECK(x.grad().select(0, 2).item() == 0);
  CHECK(std::isnan(binary_cross_entropy(row({NAN}), row({1})).item()));
}

TEST_CASE("losses: kl_div of a target with zeros is finite", "[loss]") {
  const Tensor x = row({-1, -2}).set_requires_grad();
  const Tensor losses = kl_div(x, row({0, 1}), LossReduction::none);
  CHECK(losses.to_vector() == Values{0, 2});
  losses.sum().backward();
  CHECK(x.grad().to_vector() == Values{0, -1});
}

TEST_CASE("losses: at the kinks", "[loss]") {
  const Tensor x = row({0, 1, -1}).set_requires_grad();
  const Tensor zero = zeros({3});
  l1_loss(x, zero, LossReduction::sum).backward();
  CHECK(x.grad().to_vector() == Values{0, 1, -1});
  x.zero_grad();
  smooth_l1_loss(x, zero, LossReduction::sum, 0).backward();  // the same as l1_loss
  CHECK(x.grad().to_vector() == Values{0, 1, -1});
  x.zero_grad();
  huber_loss(x, zero, LossReduction::sum, 1).backward();
  CHECK(x.grad().to_vector() == Values{0, 1, -1});
}

TEST_CASE("losses: dtypes are promoted, and a mean of nothing is NaN", "[loss]") {
  CHECK(mse_loss(row({1, 2}), row({1, 4}, f64)).dtype() == f64);
  CHECK(mse_loss(row({1, 2}), labels({1, 4})).item() == 2);
  CHECK(std::isnan(mse_loss(zeros({0, 2}), zeros({0, 2})).item()));
  CHECK(mse_loss(zeros({0, 2}), zeros({0, 2}), LossReduction::sum).item() == 0);
}

TEST_CASE("losses: targets that are ignored count for nothing", "[loss][cpu]") {
  manual_seed(0);
  const Tensor x = randn({3, 4}).set_requires_grad();
  const Tensor target = labels({2, -100, -100});
  const double own = -x.detach().select(0, 0).select(0, 2).item();
  CHECK(nll_loss(x, target).item() == Approx(own));
  CHECK(nll_loss(x, target, {.reduction = LossReduction::sum}).item() == Approx(own));
  const Tensor none = nll_loss(x, labels({-100, -100, -100}));
  CHECK(std::isnan(none.item()));
  none.backward();
  CHECK(x.grad().to_vector() == Values(12, 0));
}

TEST_CASE("losses: cross_entropy of pixels is that of their rows", "[loss][cpu]") {
  manual_seed(0);
  const Tensor x = randn({2, 3, 4, 5}).channels_last();
  Values classes;
  for (int i = 0; i < 40; ++i) classes.push_back(i % 3);
  const Tensor target = tensor(classes, {2, 4, 5}, {.dtype = i64});
  const Tensor rows = x.permute({0, 2, 3, 1}).reshape({40, 3});
  for (const double smoothing : {0.0, 0.3}) {
    CHECK(cross_entropy(x, target, {.label_smoothing = smoothing}).item() ==
          Approx(cross_entropy(rows, target.flatten(), {.label_smoothing = smoothing}).item()));
  }
}

TEST_CASE("losses: misuse is explained", "[loss][errors][cpu]") {
  struct Misuse {
    std::function<void()> run;
    std::string text;
  };
  const Tensor logits = ones({2, 3});
  const std::vector<Misuse> rows{
      {[] { mse_loss(labels({1}), labels({1})); }, "mse_loss: operands of dtype i64"},
      {[] {
         l1_loss(row({1, 2}), row({1, 2, 3}));
       },
       "l1_loss"},
      {[] { mse_loss(row({1}), row({1}), LossReduction::batchmean); }, "kl_div's"},
      {[] { kl_div(scalar(1), scalar(1), LossReduction::batchmean); }, "first dimension"},
      {[] { smooth_l1_loss(row({1}), row({1}), LossReduction::mean, -1); }, "beta"},
      {[] { huber_loss(row({1}), row({1}), LossReduction::mean, 0); }, "delta"},
      {[] {
         binary_cross_entropy(row({1}), row({1, 2}));
       },
       "shape [1], not [2]"},
      {[] {
         binary_cross_entropy_with_logits(row({1}), row({1, 2}));
       },
       "shape [1], not [2]"},
      {[] {
         binary_cross_entropy(row({1}), row({1}), row({1, 2}));
       },
       "weight of shape [2]"},
      {[] {
         binary_cross_entropy_with_logits(row({1}), row({1}), {}, LossReduction::mean, row({1, 2}));
       },
       "pos_weight of shape [2]"},
      {[&] { nll_loss(logits, labels({1})); }, "nll_loss: an input [2, 3]"},
      {[&] {
         nll_loss(logits, row({1, 1}));
       },
       "nll_loss: targets must be i64, not f32"},
      {[&] {
         nll_loss(logits, labels({1, 3}));
       },
       "nll_loss: the target of row 1 is 3"},
      {[&] {
         nll_loss(logits, labels({1, 1}), {.weight = ones({2})});
       },
       "weight f32[3]"},
      {[&] {
         cross_entropy(logits, labels({-1, 1}), {.reduction = LossReduction::sum});
       },
       "cross_entropy: the target of row 0 is -1"},
      {[&] {
         cross_entropy(logits, row({1, 1}));
       },
       "probabilities of that shape"},
      {[&] { cross_entropy(logits, logits, {.label_smoothing = 2}); }, "between 0 and 1, not 2"},
      {[&] { cross_entropy(logits, logits, {.weight = ones({2})}); }, "weight [3], not [2]"},
  };
  for (const Misuse& misuse : rows) {
    INFO(misuse.text);
    CHECK_THROWS_WITH(misuse.run(), Contains(misuse.text));
  }
}
