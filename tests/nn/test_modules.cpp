// Each module against the operation it wraps, batch norm against PyTorch's formulas.

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/embedding.h"
#include "minidl/nn/modules/layer_norm.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/modules/pool.h"
#include "minidl/nn/modules/transformer.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

struct Owner : nn::Module<Owner> {
  Tensor forward(const Tensor& x) { return x; }
};

void check_close(const Tensor& actual, const Values& expected) {
  const Values values = actual.to_vector();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == Approx(expected[i]).epsilon(1e-9).margin(1e-12));
  }
}

// Mean and variance of each channel of x [N, C].
struct Moments {
  Values mean, biased, unbiased;
};
Moments moments_of(const Tensor& x) {
  const Values values = x.to_vector();
  const auto channels = static_cast<std::size_t>(x.size(1));
  const auto count = static_cast<double>(x.size(0));
  Moments m{Values(channels), Values(channels), Values(channels)};
  for (std::size_t i = 0; i < values.size(); ++i) m.mean[i % channels] += values[i] / count;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double square = std::pow(values[i] - m.mean[i % channels], 2);
    m.biased[i % channels] += square / count;
    m.unbiased[i % channels] += square / (count - 1);
  }
  return m;
}

}  // namespace

TEST_CASE("modules: those without parameters are their operations", "[modules]") {
  manual_seed(0);
  const Tensor x = randn({2, 3, 6, 6});
  const Pool2dOptions window{.kernel = {3, 2}, .stride = {1, 2}, .padding = {1, 0}};
  const nn::PoolOptions pool{.kernel = {3, 2}, .stride = {1, 2}, .padding = {1, 0}};
  struct Row {
    std::string label;
    std::shared_ptr<nn::ModuleBase> module;
    Tensor expected;
  };
  const std::vector<Row> rows{
      {"ReLU", std::make_shared<nn::ReLU>(), relu(x)},
      {"Sigmoid", std::make_shared<nn::Sigmoid>(), sigmoid(x)},
      {"Tanh", std::make_shared<nn::Tanh>(), minidl::tanh(x)},
      {"GELU", std::make_shared<nn::GELU>(), gelu(x)},
      {"GELU by tanh", std::make_shared<nn::GELU>(GeluApproximation::tanh),
       gelu(x, GeluApproximation::tanh)},
      {"Softmax", std::make_shared<nn::Softmax>(), softmax(x, 3)},
      {"Softmax of dim 1", std::make_shared<nn::Softmax>(1), softmax(x, 1)},
      {"LogSoftmax", std::make_shared<nn::LogSoftmax>(), log_softmax(x, 3)},
      {"Flatten", std::make_shared<nn::Flatten>(), x.reshape({2, 108})},
      {"Identity", std::make_shared<nn::Identity>(), x},
      {"MaxPool2d", std::make_shared<nn::MaxPool2d>(pool), max_pool2d(x, window)},
      {"AvgPool2d", std::make_shared<nn::AvgPool2d>(pool), avg_pool2d(x, window)},
      {"MaxPool2d, dilated",
       std::make_shared<nn::MaxPool2d>(
           nn::PoolOptions{.kernel = 2, .stride = 1, .dilation = {2, 3}}),
       max_pool2d(x, {.kernel = {2, 2}, .stride = {1, 1}, .dilation = {2, 3}})},
      {"MaxPool2d of 2", std::make_shared<nn::MaxPool2d>(nn::PoolOptions{.kernel = 2}),
       max_pool2d(x, {.kernel = {2, 2}})},
      {"AdaptiveAvgPool2d", std::make_shared<nn::AdaptiveAvgPool2d>(nn::Size2d{2, 4}),
       adaptive_avg_pool2d(x, {2, 4})},
      {"AdaptiveMaxPool2d", std::make_shared<nn::AdaptiveMaxPool2d>(3),
       adaptive_max_pool2d(x, {3, 3})},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor y = row.module->call(x);
    CHECK(y.shape() == row.expected.shape());
    CHECK(y.to_vector() == row.expected.to_vector());
    CHECK(row.module->state_dict().empty());
  }
}

TEST_CASE("modules: all can be made inside a parent", "[modules]") {
  Owner owner;
  nn::Linear linear(owner, "linear", {.in = 1, .out = 1});
  nn::Conv2d conv(owner, "conv", {.in = 1, .out = 1, .kernel = 1});
  nn::BatchNorm2d norm(owner, "norm", 1);
  nn::LayerNorm layer_norm(owner, "layer_norm", 1);
  nn::Embedding embedding(owner, "embedding", {.num_embeddings = 1, .embedding_dim = 1});
  nn::MultiheadAttention attention(owner, "attention", {.embed_dim = 1});
  nn::TransformerEncoderLayer encoder(owner, "encoder", {.embed_dim = 1});
  nn::GELU gelu(owner, "gelu");
  nn::Dropout dropout(owner, "dropout", 0.1);
  nn::MaxPool2d max_pool(owner, "max_pool", {});
  nn::AvgPool2d avg_pool(owner, "avg_pool", {});
  nn::AdaptiveAvgPool2d adaptive_avg(owner, "adaptive_avg", 1);
  nn::AdaptiveMaxPool2d adaptive_max(owner, "adaptive_max", 1);
  nn::Sequential sequential(owner, "sequential");
  nn::ModuleList list(owner, "list");
  std::vector<std::string> names;
  for (const auto& entry : owner.named_modules()) {
    if (entry.first.find('.') == std::string::npos) names.push_back(entry.first);
  }
  CHECK(names == std::vector<std::string>{"", "linear", "conv", "norm", "layer_norm", "embedding",
                                          "attention", "encoder", "gelu", "dropout", "max_pool",
                                          "avg_pool", "adaptive_avg", "adaptive_max", "sequential",
                                          "list"});
}

TEST_CASE("modules: Linear", "[modules]") {
  nn::Linear layer({.in = 16, .out = 3});
  CHECK(layer.weight.shape() == Shape{3, 16});
  CHECK(layer.bias.shape() == Shape{3});
  for (const Tensor& parameter : layer.parameters()) {
    CHECK(abs(parameter.detach()).amax().item() <= 0.25);
    CHECK(abs(parameter.detach()).amax().item() > 0.01);
  }
  const Tensor x = rand({2, 5, 16});
  CHECK(layer(x).to_vector() == linear(x, layer.weight, layer.bias).to_vector());
  nn::Linear plain({.in = 16, .out = 3, .bias = false});
  CHECK_FALSE(plain.bias.defined());
  CHECK(plain.parameters().size() == 1);
  CHECK_THROWS_WITH(nn::Linear({.in = 0, .out = 3}), Contains("in (0)"));
  CHECK_THROWS_WITH(nn::Linear({.in = 3}), Contains("out (0)"));
}

TEST_CASE("modules: Conv2d", "[modules]") {
  nn::Conv2d layer({.in = 4,
                    .out = 6,
                    .kernel = {3, 2},
                    .stride = {2, 1},
                    .padding = {1, 0},
                    .dilation = {1, 2},
                    .groups = 2});
  CHECK(layer.weight.shape() == Shape{6, 2, 3, 2});
  CHECK(layer.weight.is_channels_last());
  const double bound = 1 / std::sqrt(12.0);
  for (const Tensor& parameter : layer.parameters()) {
    CHECK(abs(parameter.detach()).amax().item() <= bound);
  }
  const Tensor x = rand({2, 4, 7, 6});
  const Tensor expected =
      conv2d(x, layer.weight, layer.bias,
             {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2});
  CHECK(layer(x).shape() == Shape{2, 6, 4, 4});
  CHECK(layer(x).to_vector() == expected.to_vector());
  nn::Conv2d plain({.in = 1, .out = 1, .kernel = 3, .bias = false});
  CHECK_FALSE(plain.bias.defined());
  CHECK_THROWS_WITH(nn::Conv2d({.in = 4, .out = 6, .kernel = 0}), Contains("kernel (0x0)"));
  CHECK_THROWS_WITH(nn::Conv2d({.in = 4, .out = 6, .kernel = 1, .groups = 4}),
                    Contains("4 groups"));
}

TEST_CASE("modules: LayerNorm", "[modules]") {
  const Tensor x = randn({2, 3, 4});
  nn::LayerNorm layer({.normalized_shape = {3, 4}, .eps = 0.1});
  CHECK(layer.weight.to_vector() == Values(12, 1));
  CHECK(layer.bias.to_vector() == Values(12, 0));
  layer.weight.detach().normal_();
  layer.bias.detach().normal_();
  CHECK(layer(x).to_vector() == layer_norm(x, {3, 4}, layer.weight, layer.bias, 0.1).to_vector());
  nn::LayerNorm last(4);
  CHECK(last(x).to_vector() == layer_norm(x, {4}, last.weight, last.bias).to_vector());
  nn::LayerNorm scaled({.normalized_shape = {4}, .bias = false});
  CHECK(scaled.named_parameters().size() == 1);
  nn::LayerNorm plain({.normalized_shape = {4}, .elementwise_affine = false});
  CHECK(plain.parameters().empty());
  CHECK(plain(x).to_vector() == layer_norm(x, {4}).to_vector());
  CHECK_THROWS_WITH(nn::LayerNorm(0), Contains("normalized_shape") && Contains("[0]"));
  CHECK_THROWS_WITH(nn::LayerNorm(nn::LayerNormOptions{}), Contains("normalized_shape"));
  CHECK_THROWS_WITH(last(ones({2, 3})), Contains("[2, 3]") && Contains("[4]"));
}

TEST_CASE("modules: Embedding", "[modules]") {
  manual_seed(0);
  nn::Embedding table({.num_embeddings = 300, .embedding_dim = 200, .padding_idx = -2});
  CHECK(table.weight.shape() == Shape{300, 200});
  CHECK(table.weight.select(0, 298).to_vector() == Values(200, 0));
  const Tensor squares = pow(table.weight.detach(), 2);
  CHECK(table.weight.detach().mean().item() == Approx(0).margin(0.02));
  CHECK(squares.mean().item() == Approx(299.0 / 300).margin(0.03));
  const Tensor indices = tensor({7, 298, 7, 0}, {2, 2}, {.dtype = i64});
  const Tensor y = table(indices);
  CHECK(y.shape() == Shape{2, 2, 200});
  CHECK(y.select(0, 1).select(0, 0).to_vector() == table.weight.select(0, 7).to_vector());
  y.sum().backward();
  CHECK(table.weight.grad().select(0, 298).to_vector() == Values(200, 0));
  CHECK(table.weight.grad().select(0, 7).to_vector() == Values(200, 2));
  CHECK_THROWS_WITH(nn::Embedding({.num_embeddings = 3}), Contains("embedding_dim (0)"));
  CHECK_THROWS_WITH(nn::Embedding({.num_embeddings = 3, .embedding_dim = 1, .padding_idx = 3}),
                    Contains("padding_idx is 3"));
}

TEST_CASE("modules: Dropout drops in training only", "[modules]") {
  nn::Dropout dropout(0.5);
  const Tensor x = ones({1000});
  CHECK(dropout(x).amin().item() == 0);
  CHECK(dropout(x).amax().item() == 2);
  dropout.eval();
  CHECK(dropout(x).to_vector() == x.to_vector());
}

TEST_CASE("batch norm: running statistics follow PyTorch's formula", "[modules]") {
  manual_seed(4);
  nn::BatchNorm1d norm(3);
  norm.to(f64);
  Values mean(3, 0);
  Values variance(3, 1);
  for (int step = 1; step <= 4; ++step) {
    const Tensor x = randn({5, 3}, {.dtype = f64}) * step + 2.0;
    norm(x);
    const Moments m = moments_of(x);
    for (std::size_t c = 0; c < 3; ++c) {
      mean[c] = 0.9 * mean[c] + 0.1 * m.mean[c];
      variance[c] = 0.9 * variance[c] + 0.1 * m.unbiased[c];
    }
    check_close(norm.running_mean, mean);
    check_close(norm.running_var, variance);
    CHECK(norm.num_batches_tracked.item() == step);
  }
}

TEST_CASE("batch norm: training normalises with the batch, evaluation with the past", "[modules]") {
  nn::BatchNormOptions options{.features = 2};
  options.eps = 0.01;
  options.momentum = 1;
  nn::BatchNorm1d norm(options);
  norm.to(f64);
  norm.weight.detach().copy_(tensor({2, 3}, {2}));
  norm.bias.detach().copy_(tensor({-1, 1}, {2}));
  const Tensor x = tensor({1, 10, 2, 30, 6, 20}, {3, 2}, {.dtype = f64});
  const Moments m = moments_of(x);
  auto expected = [&](const Values& variance) {
    Values y = x.to_vector();
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t c = i % 2;
      y[i] =
          (y[i] - m.mean[c]) / std::sqrt(variance[c] + 0.01) * (c == 0 ? 2 : 3) + (c == 0 ? -1 : 1);
    }
    return y;
  };
  check_close(norm(x), expected(m.biased));
  norm.eval();
  check_close(norm(x), expected(m.unbiased));
  CHECK(norm.num_batches_tracked.item() == 1);
}

TEST_CASE("batch norm: images count every pixel", "[modules]") {
  nn::BatchNormOptions options{.features = 1};
  options.momentum = 1;
  nn::BatchNorm2d norm(options);
  norm(tensor({1, 2, 3, 4}, {1, 1, 2, 2}));
  CHECK(norm.running_mean.item() == Approx(2.5));
  CHECK(norm.running_var.item() == Approx(5.0 / 3));
}

TEST_CASE("batch norm: without affine parameters", "[modules]") {
  nn::BatchNormOptions options{.features = 2};
  options.affine = false;
  nn::BatchNorm1d norm(options);
  CHECK(norm.parameters().empty());
  CHECK(norm.named_buffers().size() == 3);
  const Tensor y = norm(tensor({1, 5, 3, 9}, {2, 2}));
  CHECK(y.to_vector()[0] == Approx(-1).epsilon(1e-4));
  norm.eval();
  CHECK_NOTHROW(norm(ones({1, 2})));
}

TEST_CASE("batch norm: an empty batch leaves the statistics alone", "[modules]") {
  nn::BatchNorm2d norm(2);
  for (const Shape& shape : {Shape{0, 2, 4, 4}, Shape{3, 2, 0, 4}}) {
    const Tensor y = norm(zeros(shape));
    CHECK(y.shape() == shape);
  }
  CHECK(norm.running_mean.to_vector() == Values{0, 0});
  CHECK(norm.running_var.to_vector() == Values{1, 1});
  CHECK(norm.num_batches_tracked.item() == 0);
}

TEST_CASE("batch norm: one value per channel is refused in training", "[modules]") {
  nn::BatchNorm1d norm(2);
  CHECK_THROWS_WITH(norm(ones({1, 2})), Contains("[1, 2]") && Contains("one value per channel"));
  CHECK(norm.num_batches_tracked.item() == 0);
  norm.eval();
  CHECK_NOTHROW(norm(ones({1, 2})));
  CHECK_THROWS_WITH(nn::BatchNorm(0), Contains("features"));
  CHECK_THROWS_WITH(norm(ones({4, 3})), Contains("f32[2]"));
}

TEST_CASE("batch norm: statistics are not part of the graph", "[modules]") {
  nn::BatchNorm1d norm(2);
  const Tensor x = randn({4, 2}, {.requires_grad = true});
  const Tensor y = norm(x) * norm(x);
  CHECK_FALSE(norm.running_mean.requires_grad());
  CHECK_NOTHROW(y.sum().backward());
}

TEST_CASE("containers: Sequential runs its modules in order", "[modules]") {
  nn::Sequential net;
  CHECK(net(ones({2})).to_vector() == Values{1, 1});
  const nn::Linear& first = net.append<nn::Linear>(nn::LinearOptions{.in = 3, .out = 4});
  net.append<nn::ReLU>();
  const nn::Linear& second = net.append<nn::Linear>(nn::LinearOptions{.in = 4, .out = 2});
  CHECK(net.size() == 3);
  const Tensor x = randn({5, 3});
  const Tensor expected =
      linear(relu(linear(x, first.weight, first.bias)), second.weight, second.bias);
  CHECK(net(x).to_vector() == expected.to_vector());
  CHECK(net[1](tensor({-1, 1}, {2})).to_vector() == Values{0, 1});
  CHECK(net.named_parameters()[2].name == "2.weight");
  CHECK_THROWS(net[3]);
}

TEST_CASE("containers: ModuleList owns but does not run", "[modules]") {
  Owner owner;
  nn::ModuleList blocks(owner, "blocks");
  for (int i = 0; i < 3; ++i) blocks.append<nn::Linear>(nn::LinearOptions{.in = 2, .out = 2});
  CHECK(blocks.size() == 3);
  CHECK(owner.named_parameters().back().name == "blocks.2.bias");
  CHECK_THROWS_WITH(blocks.call(ones({2})), Contains("blocks: a ModuleList is not a function"));
}
