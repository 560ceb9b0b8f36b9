// MultiheadAttention and TransformerEncoderLayer against their definitions, written out in doubles.

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/attention.h"
#include "minidl/nn/modules/transformer.h"
#include "tests/catch.h"
#include "tests/ops/reference.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;
using Names = std::vector<std::string>;

namespace {

constexpr std::int64_t kBatch = 2;
constexpr std::int64_t kQueries = 3;
constexpr std::int64_t kKeys = 4;
constexpr std::int64_t kWidth = 6;
constexpr std::int64_t kHeads = 2;

void check_close(const Tensor& actual, const Array& expected) {
  REQUIRE(actual.shape() == expected.shape);
  const Values values = actual.to_vector();
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == Approx(expected.values[i]).epsilon(1e-9).margin(1e-12));
  }
}

Tensor random(const Shape& shape) {
  return randn(shape, {.dtype = f64});
}
Tensor random_mask(const Shape& shape) {
  return (rand(shape) * 2).to(i32).to(boolean);
}

// Gives every parameter numbers of its own: biases and norms start as zeros and ones.
void randomize(nn::ModuleBase& module) {
  module.to(f64);
  for (const Tensor& parameter : module.parameters()) parameter.detach().normal_(0, 0.5);
}

// x [N, L, in] times rows `first`.. of weight [out, in], plus bias.
Array reference_linear(const Array& x, const Tensor& weight, const Tensor& bias, std::int64_t first,
                       std::int64_t out) {
  const Array w = Array::of(weight);
  const Array b = bias.defined() ? Array::of(bias) : Array(Shape{weight.size(0)});
  return generate({x.shape[0], x.shape[1], out}, [&](const Dims& index) {
    double sum = b.at({first + index[2]});
    for (std::int64_t i = 0; i < x.shape[2]; ++i) {
      sum += x.at({index[0], index[1], i}) * w.at({first + index[2], i});
    }
    return sum;
  });
}

Array reference_linear(const Array& x, const nn::Linear& layer) {
  return reference_linear(x, layer.weight, layer.bias, 0, layer.weight.size(0));
}

struct Attended {
  Array output;
  Array weights;
};

// A query that may look at no key has weights of zero.
Attended reference_attention(const nn::MultiheadAttention& module, std::int64_t heads,
                             const Array& query, const Array& key, const Array& value,
                             const Tensor& mask) {
  const std::int64_t width = query.shape[2];
  const std::int64_t head_width = width / heads;
  const Tensor& weight = module.in_proj_weight;
  const Array q = reference_linear(query, weight, module.in_proj_bias, 0, width);
  const Array k = reference_linear(key, weight, module.in_proj_bias, width, width);
  const Array v = reference_linear(value, weight, module.in_proj_bias, 2 * width, width);
  const Array allowed = mask.defined() ? Array::of(mask) : Array::of(ones({1, 1}));

  const Shape scores{query.shape[0], heads, query.shape[1], key.shape[1]};
  auto exponential = [&](const Dims& at) {
    if (allowed.broadcast_at(at) == 0) return 0.0;
    double score = 0;
    for (std::int64_t i = at[1] * head_width; i < (at[1] + 1) * head_width; ++i) {
      score += q.at({at[0], at[2], i}) * k.at({at[0], at[3], i});
    }
    return std::exp(score / std::sqrt(static_cast<double>(head_width)));
  };
  const Array shares = generate(scores, [&](Dims at) {
    const double own = exponential(at);
    double sum = 0;
    for (at[3] = 0; at[3] < scores[3]; ++at[3]) sum += exponential(at);
    return own == 0 ? 0 : own / sum;
  });
  const Array mixed = generate(query.shape, [&](const Dims& at) {
    double sum = 0;
    for (std::int64_t s = 0; s < scores[3]; ++s) {
      sum += shares.at({at[0], at[2] / head_width, at[1], s}) * v.at({at[0], s, at[2]});
    }
    return sum;
  });
  const Array mean = generate({scores[0], scores[2], scores[3]}, [&](const Dims& at) {
    double sum = 0;
    for (std::int64_t h = 0; h < heads; ++h) sum += shares.at({at[0], h, at[1], at[2]});
    return sum / static_cast<double>(heads);
  });
  return {reference_linear(mixed, module.out_proj), mean};
}

Array reference_norm(const Array& x, const nn::LayerNorm& layer, double eps) {
  const Array weight = Array::of(layer.weight);
  const Array bias = Array::of(layer.bias);
  const std::int64_t width = x.shape[2];
  return generate(x.shape, [&](Dims at) {
    const Dims own = at;
    double mean = 0;
    double variance = 0;
    for (at[2] = 0; at[2] < width; ++at[2]) mean += x.at(at) / static_cast<double>(width);
    for (at[2] = 0; at[2] < width; ++at[2]) {
      variance += std::pow(x.at(at) - mean, 2) / static_cast<double>(width);
    }
    return (x.at(own) - mean) / std::sqrt(variance + eps) * weight.at({own[2]}) + bias.at({own[2]});
  });
}

Array sum_of(const Array& a, const Array& b) {
  return generate(a.shape, [&](const Dims& at) { return a.at(at) + b.at(at); });
}

Names names_of(const StateDict& state) {
  Names names;
  for (const auto& entry : state) names.push_back(entry.name);
  return names;
}

}  // namespace

TEST_CASE("multi-head attention: parameters are PyTorch's", "[modules]") {
  manual_seed(test_seed());
  INFO("MINIDL_TEST_SEED=" << test_seed());
  const nn::MultiheadAttention module({.embed_dim = 8, .heads = 2});
  CHECK(names_of(module.state_dict()) ==
        Names{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
  CHECK(module.in_proj_weight.shape() == Shape{24, 8});
  CHECK(module.out_proj.weight.shape() == Shape{8, 8});
  CHECK(module.in_proj_bias.to_vector() == Values(24, 0));
  CHECK(module.out_proj.bias.to_vector() == Values(8, 0));
  const double bound = std::sqrt(6.0 / (24 + 8));  // Glorot and Bengio's
  const double largest = abs(module.in_proj_weight.detach()).amax().item();
  CHECK(largest <= bound);
  CHECK(largest > 0.8 * bound);

  const nn::MultiheadAttention plain({.embed_dim = 8, .heads = 2, .bias = false});
  CHECK(names_of(plain.state_dict()) == Names{"in_proj_weight", "out_proj.weight"});
}

TEST_CASE("multi-head attention: outputs and weights, with every shape of mask", "[modules]") {
  manual_seed(test_seed());
  INFO("MINIDL_TEST_SEED=" << test_seed());
  const Tensor masks[] = {{},
                          random_mask({kQueries, kKeys}),
                          random_mask({1, kKeys}),
                          random_mask({kBatch, 1, 1, kKeys}),
                          random_mask({kBatch, 1, kQueries, kKeys}),
                          random_mask({kBatch, kHeads, kQueries, kKeys})};
  for (const bool bias : {true, false}) {
    nn::MultiheadAttention module({.embed_dim = kWidth, .heads = kHeads, .bias = bias});
    randomize(module);
    for (const Tensor& mask : masks) {
      INFO("bias " << bias << ", mask " << describe(mask));
      const Tensor query = random({kBatch, kQueries, kWidth});
      const Tensor key = random({kBatch, kKeys, kWidth});
      const Tensor value = random({kBatch, kKeys, kWidth});
      const auto [output, weights] = module(query, key, value, mask);
      const Attended expected = reference_attention(module, kHeads, Array::of(query),
                                                    Array::of(key), Array::of(value), mask);
      check_close(output, expected.output);
      check_close(weights, expected.weights);
    }
  }
}

TEST_CASE("multi-head attention: sequences of nothing", "[modules]") {
  nn::MultiheadAttention module({.embed_dim = kWidth, .heads = kHeads});
  const auto [output, weights] =
      module(zeros({0, 3, kWidth}), zeros({0, 4, kWidth}), zeros({0, 4, kWidth}));
  CHECK(output.shape() == Shape{0, 3, kWidth});
  CHECK(weights.shape() == Shape{0, 3, 4});
}

TEST_CASE("multi-head attention: weights drop out in training only", "[modules]") {
  manual_seed(test_seed());
  nn::MultiheadAttention module({.embed_dim = 4, .heads = 1, .dropout = 0.5});
  const Tensor x = randn({1, 30, 4});
  auto dropped = [&] {
    const Tensor weights = std::get<1>(module(x, x, x)).detach();
    return (weights == 0).to(f32).mean().item();
  };
  CHECK(dropped() > 0.3);
  CHECK(dropped() < 0.7);
  module.eval();
  CHECK(dropped() == 0);
}

TEST_CASE("multi-head attention: errors", "[modules]") {
  CHECK_THROWS_WITH(nn::MultiheadAttention({.embed_dim = 8, .heads = 3}),
                    Contains("3 heads do not divide embed_dim 8"));
  CHECK_THROWS_WITH(nn::MultiheadAttention({.heads = 2}), Contains("embed_dim 0"));
  CHECK_THROWS_WITH(nn::MultiheadAttention({.embed_dim = 8, .dropout = 2}),
                    Contains("dropout") && Contains("2"));
  nn::MultiheadAttention module({.embed_dim = 8, .heads = 2});
  const Tensor x = ones({2, 3, 8});
  CHECK_THROWS_WITH(module(ones({3, 8}), x, x), Contains("[N, L, 8]") && Contains("[3, 8]"));
  CHECK_THROWS_WITH(module(x, ones({2, 4, 8}), x), Contains("[2, 4, 8]"));
  CHECK_THROWS_WITH(module(x, ones({1, 3, 8}), ones({1, 3, 8})), Contains("[1, 3, 8]"));
  CHECK_THROWS_WITH(module(ones({2, 3, 4}), x, x), Contains("[2, 3, 4]"));
  auto with_mask = [&](const Shape& shape) {
    return [&module, x, shape] { module(x, x, x, ones(shape, {.dtype = boolean})); };
  };
  CHECK_THROWS_WITH(with_mask({2, 3})(), Contains("[N, S]") && Contains("[2, 2, 3, 3]"));
  CHECK_THROWS_WITH(with_mask({2, 3, 3})(), Contains("[2, 3, 3]"));
  CHECK_THROWS_WITH(with_mask({2, 3, 3, 3})(), Contains("[2, 3, 3, 3]"));
  CHECK_THROWS_WITH(module(x, x, x, ones({3, 3})), Contains("bool") && Contains("f32"));
}

TEST_CASE("encoder layer: names are PyTorch's", "[modules]") {
  const nn::TransformerEncoderLayer layer({.embed_dim = 8, .heads = 2, .dim_feedforward = 16});
  CHECK(names_of(layer.state_dict()) ==
        Names{"self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
              "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight",
              "linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"});
}

TEST_CASE("encoder layer: norm last or first, relu or gelu", "[modules]") {
  manual_seed(test_seed());
  INFO("MINIDL_TEST_SEED=" << test_seed());
  const Tensor mask = random_mask({kQueries, kQueries});
  for (const bool norm_first : {false, true}) {
    for (const auto activation :
         {nn::TransformerActivation::relu, nn::TransformerActivation::gelu}) {
      nn::TransformerEncoderLayer layer({.embed_dim = kWidth,
                                         .heads = kHeads,
                                         .dim_feedforward = 5,
                                         .activation = activation,
                                         .layer_norm_eps = 1e-3,
                                         .norm_first = norm_first});
      randomize(layer);
      layer.eval();
      auto attend = [&](const Array& x) {
        return reference_attention(layer.self_attn, kHeads, x, x, x, mask).output;
      };
      auto feed_forward = [&](const Array& x) {
        const Array hidden = reference_linear(x, layer.linear1);
        const Array active = generate(hidden.shape, [&](const Dims& at) {
          const double h = hidden.at(at);
          if (activation == nn::TransformerActivation::relu) return std::max(h, 0.0);
          return h / 2 * std::erfc(-h / std::sqrt(2.0));
        });
        return reference_linear(active, layer.linear2);
      };
      auto norm1 = [&](const Array& x) { return reference_norm(x, layer.norm1, 1e-3); };
      auto norm2 = [&](const Array& x) { return reference_norm(x, layer.norm2, 1e-3); };

      const Tensor src = random({kBatch, kQueries, kWidth});
      const Array x = Array::of(src);
      Array expected;
      if (norm_first) {
        const Array middle = sum_of(x, attend(norm1(x)));
        expected = sum_of(middle, feed_forward(norm2(middle)));
      } else {
        const Array middle = norm1(sum_of(x, attend(x)));
        expected = norm2(sum_of(middle, feed_forward(middle)));
      }
      INFO("norm_first " << norm_first << " activation " << static_cast<int>(activation));
      check_close(layer(src, mask), expected);
    }
  }
}

TEST_CASE("encoder layer: one tensor to one tensor, as Sequential wants it", "[modules]") {
  nn::TransformerEncoderLayer layer({.embed_dim = 8, .heads = 2, .dim_feedforward = 16});
  layer.eval();
  const Tensor src = randn({2, 3, 8});
  nn::ModuleBase& base = layer;
  CHECK(base(src).to_vector() == layer(src).to_vector());
}

TEST_CASE("encoder layer: dropout acts in training only", "[modules]") {
  nn::TransformerEncoderLayer layer({.embed_dim = 8, .heads = 2, .dim_feedforward = 16});
  const Tensor src = randn({2, 3, 8});
  CHECK(layer(src).to_vector() != layer(src).to_vector());
  layer.eval();
  CHECK(layer(src).to_vector() == layer(src).to_vector());
}

TEST_CASE("encoder layer: errors carry the path and the options at fault", "[modules]") {
  CHECK_THROWS_WITH(nn::TransformerEncoderLayer({.embed_dim = 8, .heads = 3}), Contains("3 heads"));
  CHECK_THROWS_WITH(nn::TransformerEncoderLayer({.embed_dim = 8, .dim_feedforward = 0}),
                    Contains("out (0)"));
  nn::TransformerEncoderLayer layer({.embed_dim = 8, .heads = 2, .dim_feedforward = 16});
  CHECK_THROWS_WITH(layer(ones({2, 3, 4})),
                    Contains("self_attn: MultiheadAttention") && Contains("[2, 3, 4]"));
}
