// What the op table cannot say about embedding, masked softmax and attention: padding, rows without
// a key, dropout, and a mask together with causality.

#include <cmath>
#include <vector>

#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/embedding.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor random(const Shape& shape) {
  return randn(shape, {.dtype = f64, .requires_grad = true});
}
Tensor flags(const Values& values, const Shape& shape) {
  return tensor(values, shape, {.dtype = boolean});
}

}  // namespace

TEST_CASE("embedding: the padding row is looked up but does not learn", "[attention]") {
  const Tensor indices = tensor({2, 0, 2, 1, 0}, {5}, {.dtype = i64});
  for (const std::int64_t padding_idx : {0, -3}) {  // the same row, counted from either end
    const Tensor weight = random({3, 2});
    const Tensor y = embedding(indices, weight, padding_idx);
    CHECK(y.select(0, 1).to_vector() == weight.detach().select(0, 0).to_vector());
    y.sum().backward();
    CHECK(weight.grad().to_vector() == Values{0, 0, 1, 1, 2, 2});
  }
}

TEST_CASE("masked softmax: all true is softmax", "[attention]") {
  const Tensor x = random({3, 5});
  CHECK(masked_softmax(x, flags({1}, {}), 1).to_vector() == softmax(x, 1).to_vector());
}

TEST_CASE("masked softmax: a row without any true has neither value nor gradient", "[attention]") {
  const Tensor x = random({2, 3});
  const Tensor y = masked_softmax(x, flags({0, 1}, {2, 1}), 1);
  CHECK(y.select(0, 0).to_vector() == Values{0, 0, 0});
  (y * random({2, 3})).sum().backward();
  CHECK(x.grad().select(0, 0).to_vector() == Values{0, 0, 0});
  CHECK(abs(x.grad().select(0, 1)).amin().item() > 0);
}

TEST_CASE("attention: a query without a key gives zeros and finite gradients", "[attention]") {
  const Tensor q = random({2, 4});
  const Tensor k = random({3, 4});
  const Tensor v = random({3, 5});
  const Tensor y = scaled_dot_product_attention(q, k, v, {.mask = flags({0, 1}, {2, 1})});
  CHECK(y.select(0, 0).to_vector() == Values(5, 0));
  y.sum().backward();
  CHECK(q.grad().select(0, 0).to_vector() == Values(4, 0));
  for (const Tensor& operand : {q, k, v}) {
    for (const double value : operand.grad().to_vector()) CHECK(std::isfinite(value));
  }
}

TEST_CASE("attention: causal is a mask of its own and joins a given one", "[attention]") {
  const Tensor q = random({2, 3, 4});
  const Tensor k = random({2, 3, 4});
  const Tensor v = random({2, 3, 5});
  const Tensor triangle = flags({1, 0, 0, 1, 1, 0, 1, 1, 1}, {3, 3});
  const Tensor padding = flags({1, 1, 0, 0, 1, 1}, {2, 1, 3});
  const Tensor both = flags({1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1}, {2, 3, 3});
  auto weights = [&](const AttentionOptions& options) {
    return attention_with_weights(q, k, v, options).weights.to_vector();
  };
  CHECK(weights({.causal = true}) == weights({.mask = triangle}));
  CHECK(weights({.mask = padding, .causal = true}) == weights({.mask = both}));
}

TEST_CASE("attention: causal queries that outnumber the keys see all of them", "[attention]") {
  const Tensor weights =
      attention_with_weights(random({3, 2}), random({2, 2}), random({2, 2}), {.causal = true})
          .weights;
  CHECK(eq(weights, 0).to_vector() == Values{0, 1, 0, 0, 0, 0});
}

TEST_CASE("attention: the weights come with the output and after dropout", "[attention]") {
  manual_seed(3);
  const Tensor q = random({40, 4});
  const Tensor k = random({50, 4});
  const Tensor v = random({50, 2});
  const auto [output, weights] = attention_with_weights(q, k, v, {.dropout = 0.5});
  CHECK(weights.shape() == Shape{40, 50});
  CHECK(output.to_vector() == matmul(weights, v).to_vector());
  const double dropped = (weights == 0).to(f64).mean().item();
  CHECK(dropped > 0.4);
  CHECK(dropped < 0.6);
}
