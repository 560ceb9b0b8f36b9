// The modules of losses against their functions.

#include <cmath>
#include <vector>

#include "minidl/core/random.h"
#include "minidl/nn/modules/loss.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

struct Owner : nn::Module<Owner> {
  Tensor forward(const Tensor& x) { return x; }
};

}  // namespace

TEST_CASE("modules: CrossEntropyLoss passes its options on", "[modules]") {
  const Tensor logits = randn({3, 4});
  const Tensor target = tensor({0, 3, 1}, {3}, {.dtype = i64});
  nn::CrossEntropyLoss loss({.label_smoothing = 0.1, .ignore_index = 3});
  CHECK(loss(logits, target).item() ==
        cross_entropy(logits, target, {.label_smoothing = 0.1, .ignore_index = 3}).item());
}

TEST_CASE("modules: losses are their functions", "[modules][cpu]") {
  manual_seed(0);
  const Tensor x = rand({3, 4});
  const Tensor y = rand({3, 4});
  const Tensor log_probs = log_softmax(x, 1);
  const Tensor labels = tensor({0, 3, 1}, {3}, {.dtype = i64});
  const Tensor weight = rand({4});
  constexpr auto kSum = LossReduction::sum;
  const auto same = [](const Tensor& actual, const Tensor& expected) {
    CHECK(actual.shape() == expected.shape());
    CHECK(actual.to_vector() == expected.to_vector());
  };
  same(nn::MSELoss()(x, y), mse_loss(x, y));
  same(nn::MSELoss({.reduction = kSum})(x, y), mse_loss(x, y, kSum));
  same(nn::L1Loss({.reduction = kSum})(x, y), l1_loss(x, y, kSum));
  same(nn::SmoothL1Loss({.reduction = kSum, .beta = 0.1})(x, y), smooth_l1_loss(x, y, kSum, 0.1));
  same(nn::HuberLoss({.reduction = kSum, .delta = 0.1})(x, y), huber_loss(x, y, kSum, 0.1));
  same(nn::BCELoss({.weight = weight, .reduction = kSum})(x, y),
       binary_cross_entropy(x, y, weight, kSum));
  same(nn::BCEWithLogitsLoss({.weight = weight, .reduction = kSum, .pos_weight = weight})(x, y),
       binary_cross_entropy_with_logits(x, y, weight, kSum, weight));
  same(nn::KLDivLoss({.reduction = LossReduction::batchmean})(log_probs, y),
       kl_div(log_probs, y, LossReduction::batchmean));
  same(nn::KLDivLoss({.reduction = kSum, .log_target = true})(log_probs, y),
       kl_div(log_probs, y, kSum, true));
  same(nn::NLLLoss({.weight = weight, .ignore_index = 3, .reduction = kSum})(log_probs, labels),
       nll_loss(log_probs, labels, {.weight = weight, .ignore_index = 3, .reduction = kSum}));
  same(nn::CrossEntropyLoss({.weight = weight, .reduction = kSum})(x, labels),
       cross_entropy(x, labels, {.weight = weight, .reduction = kSum}));
}

TEST_CASE("modules: weights of a loss move and are saved with it", "[modules]") {
  Owner owner;
  nn::BCEWithLogitsLoss loss(owner, "loss", {.weight = ones({2}), .pos_weight = full({2}, 3)});
  const StateDict state = owner.state_dict();
  REQUIRE(state.size() == 2);
  CHECK(state[0].name == "loss.weight");
  CHECK(state[1].name == "loss.pos_weight");
  CHECK(owner.parameters().empty());
  owner.to(f64);
  const Tensor x = zeros({1, 2}, {.dtype = f64});
  CHECK(loss(x, ones({1, 2}, {.dtype = f64})).item() == Approx(3 * std::log(2.0)));
  loss.load_state_dict({{"weight", full({2}, 2)}, {"pos_weight", ones({2})}});
  CHECK(loss(x, ones({1, 2}, {.dtype = f64})).item() == Approx(2 * std::log(2.0)));
}

TEST_CASE("modules: a loss of no rows is NaN and learns nothing", "[modules]") {
  nn::CrossEntropyLoss loss;
  for (const Values& labels : {Values{}, Values{-100, -100}}) {
    const auto rows = static_cast<std::int64_t>(labels.size());
    const Tensor logits = zeros({rows, 3}, {.requires_grad = true});
    const Tensor value = loss(logits, tensor(labels, {rows}, {.dtype = i64}));
    CHECK(std::isnan(value.item()));
    value.backward();
    CHECK(logits.grad().to_vector() == Values(3 * labels.size(), 0));
  }
}
