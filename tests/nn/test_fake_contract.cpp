// The contract: the forward of a model is recorded on shapes alone.
//
// A fake tensor has a shape and no elements. `trace` sends fake tensors through a model and returns
// a Graph: every operation with its operands, results, attributes and the module that it belongs
// to. That takes no memory for elements and leaves the model as it was, however large the batch.
// `replay` runs a graph on real tensors and gives the model's own results, bit for bit: nothing is
// missing from the recording.

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/nn/data/dataset.h"
#include "minidl/nn/graph/trace.h"
#include "minidl/nn/models/cnn.h"
#include "minidl/nn/models/resnet.h"
#include "minidl/nn/modules/loss.h"
#include "minidl/nn/modules/transformer.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;

namespace {

struct SmallNet : nn::Module<SmallNet> {
  nn::Conv2d conv{*this, "conv", {.in = 3, .out = 4, .kernel = 3, .padding = 1, .bias = false}};
  nn::Linear fc{*this, "fc", {.in = 64, .out = 10, .bias = false}};
  Tensor forward(const Tensor& x) { return fc(max_pool2d(relu(conv(x)), {}).flatten(1)); }
};

// Single-head attention, [N, T, d]; returns the weights beside the result.
struct Attention : nn::Module<Attention> {
  static constexpr std::int64_t kFeatures = 8;
  nn::Linear query{*this, "query", {.in = kFeatures, .out = kFeatures}};
  nn::Linear key{*this, "key", {.in = kFeatures, .out = kFeatures}};
  nn::Linear value{*this, "value", {.in = kFeatures, .out = kFeatures}};
  nn::Dropout dropout{*this, "dropout", 0.1};

  std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& memory, bool scale) {
    Tensor scores = matmul(query(x), key(memory).transpose(1, 2));
    if (scale) scores = scores / std::sqrt(static_cast<double>(kFeatures));
    const Tensor weights = softmax(scores, -1);
    return {matmul(dropout(weights), value(memory)), weights};
  }
};

// What tracing must not change.
struct Footprint {
  MemoryStats memory = memory_stats(default_device());
  Generator::State random = default_generator().state();
};

void check_untouched(const Footprint& before) {
  const Footprint now;
  CHECK(now.memory.allocations == before.memory.allocations);
  CHECK(now.memory.total.current == before.memory.total.current);
  CHECK(now.memory.total.peak == before.memory.total.peak);
  CHECK(now.random == before.random);
}

std::vector<std::string> modules_of(const Graph& graph, const std::string& op) {
  std::vector<std::string> modules;
  for (const Graph::Step& step : graph.steps) {
    if (step.op->name() == op) modules.push_back(step.module);
  }
  return modules;
}

const TensorSpec& output_spec(const Graph& graph, std::size_t index = 0) {
  return graph.values[graph.outputs.at(index)].spec;
}

void check_same_bits(const Tensors& actual, const Tensors& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CHECK(actual[i].shape() == expected[i].shape());
    CHECK(actual[i].strides() == expected[i].strides());
    CHECK(actual[i].to_vector() == expected[i].to_vector());
  }
}

// With one space where the listing has a column's width of them.
std::string single_spaced(std::string line) {
  const auto both_spaces = [](char a, char b) { return a == ' ' && b == ' '; };
  line.erase(std::unique(line.begin(), line.end(), both_spaces), line.end());
  return line;
}

// Running statistics as after some training, so that batch norm does something.
void randomize_statistics(nn::ModuleBase& model) {
  for (const auto& [name, buffer] : model.named_buffers()) {
    if (buffer.is_floating_point()) buffer.uniform_(0.5, 1.5);
  }
}

}  // namespace

TEST_CASE("fake contract: a small model, recorded and printed", "[contract]") {
  SmallNet net;
  const Graph graph = trace(net, fake({1, 3, 8, 8}));
  CHECK(graph.inputs.size() == 1);
  CHECK(graph.steps.size() == 5);
  CHECK(graph.steps[0].op->name() == std::string("conv2d"));
  CHECK(graph.steps[0].module == "conv");
  CHECK(output_spec(graph).shape == Shape{1, 10});
  CHECK("\n" + graph.to_string() == R"(
1 input, 1 output, 5 steps, 748 parameters, 2.8 KiB of results
input                                                     -> input         f32[1, 3, 8, 8]
conv2d      conv  input, .weight      padding [1, 1]      -> conv2d_1      f32[1, 4, 8, 8] nhwc
relu              conv2d_1                                -> relu_1        f32[1, 4, 8, 8] nhwc
max_pool2d        relu_1              kernel_size [2, 2]  -> max_pool2d_1  f32[1, 4, 4, 4] nhwc
reshape           max_pool2d_1                            -> reshape_1     f32[1, 64]
linear      fc    reshape_1, .weight                      -> linear_1      f32[1, 10]
output            linear_1
)");
}

TEST_CASE("fake contract: every module takes fake tensors as it takes real ones", "[contract]") {
  struct Row {
    std::string label;
    std::unique_ptr<nn::ModuleBase> module;
    Shape input;
  };
  std::vector<Row> rows;
  const Shape images{2, 4, 6, 6};
  const auto add = [&rows](const std::string& label, auto* module, const Shape& input) {
    rows.push_back({label, std::unique_ptr<nn::ModuleBase>(module), input});
  };
  add("Linear", new nn::Linear({.in = 4, .out = 3}), {2, 5, 4});
  add("Conv2d", new nn::Conv2d({.in = 4, .out = 3, .kernel = 3, .stride = 2}), images);
  add("BatchNorm1d", new nn::BatchNorm1d(4), {7, 4});
  add("BatchNorm2d", new nn::BatchNorm2d(4), images);
  add("MaxPool2d", new nn::MaxPool2d({.kernel = 3, .ceil_mode = true}), images);
  add("AvgPool2d", new nn::AvgPool2d({.kernel = 2, .padding = 1}), images);
  add("AdaptiveAvgPool2d", new nn::AdaptiveAvgPool2d({1, 2}), images);
  add("AdaptiveMaxPool2d", new nn::AdaptiveMaxPool2d(3), images);
  add("ReLU", new nn::ReLU(), images);
  add("Sigmoid", new nn::Sigmoid(), images);
  add("Tanh", new nn::Tanh(), images);
  add("Softmax", new nn::Softmax(1), images);
  add("LogSoftmax", new nn::LogSoftmax(), images);
  add("Dropout", new nn::Dropout(), images);
  add("Flatten", new nn::Flatten(), images);
  add("Identity", new nn::Identity(), images);
  add("GELU", new nn::GELU(), images);
  add("LayerNorm", new nn::LayerNorm(6), images);
  add("TransformerEncoderLayer", new nn::TransformerEncoderLayer({.embed_dim = 4, .heads = 2}),
      {2, 5, 4});
  add("Resnet18Cifar", new nn::Resnet18Cifar({.channels = 4}), images);
  add("TinyCnn", new nn::TinyCnn({.channels = 4, .height = 6, .width = 6}), images);
  for (const Row& row : rows) {
    for (const bool training : {false, true}) {
      CAPTURE(row.label, training);
      row.module->train(training);
      const Footprint before;
      const Tensor result = row.module->call(fake(row.input));
      check_untouched(before);
      const Tensor expected = row.module->call(randn(row.input));
      CHECK(result.is_fake());
      CHECK(result.shape() == expected.shape());
      CHECK(result.strides() == expected.strides());
      CHECK(result.requires_grad() == expected.requires_grad());
    }
  }
  nn::CrossEntropyLoss loss;
  CHECK(loss(fake({4, 3}), fake({4}, {.dtype = i64})).shape().empty());
}

TEST_CASE("fake contract: a model refuses fake tensors as it refuses real ones", "[contract]") {
  SmallNet net;
  CHECK_THROWS_WITH(trace(net, fake({1, 4, 8, 8})),
                    Contains("conv: conv2d: the input has 4 channels"));
  CHECK_THROWS_WITH(trace(net, fake({1, 3, 8, 8}, {.dtype = f64})),
                    Contains("conv: conv2d: the input is f64 and the weight f32"));
  CHECK_THROWS_WITH(trace(net, fake({1, 3, 9, 10})), Contains("fc: linear: an input with 80"));
  nn::BatchNorm1d norm(4);
  CHECK_THROWS_WITH(trace(norm, fake({1, 4})), Contains("has one value per channel"));
}

TEST_CASE("fake contract: VGG11 on 100000 images takes no memory", "[contract]") {
  nn::Vgg11Cifar model;
  std::vector<std::vector<double>> buffers;
  for (const auto& entry : model.named_buffers()) buffers.push_back(entry.tensor.to_vector());

  for (const bool training : {false, true}) {
    CAPTURE(training);
    model.train(training);
    const Footprint before;
    const Graph graph = trace(model, fake({100'000, 3, 32, 32}));
    check_untouched(before);

    CHECK(output_spec(graph).shape == Shape{100'000, 10});
    CHECK(graph.parameter_count() == model.parameter_count());
    CHECK(graph.result_bytes() > 100'000'000'000);
    CHECK(modules_of(graph, "conv2d") ==
          std::vector<std::string>{"features.0", "features.4", "features.8", "features.11",
                                   "features.15", "features.18", "features.22", "features.25"});
    CHECK(modules_of(graph, "linear") == std::vector<std::string>{"classifier"});
    CHECK(modules_of(graph, "reshape") == std::vector<std::string>{""});
  }
  const StateDict after = model.named_buffers();
  for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i].tensor.to_vector() == buffers[i]);

  // In print.
  model.eval();
  std::istringstream listing(trace(model, fake({1, 3, 32, 32})).to_string());
  std::vector<std::string> lines;
  for (std::string line; std::getline(listing, line);) lines.push_back(single_spaced(line));
  REQUIRE(lines.size() == 1 + 1 + 31 + 1);
  CHECK(lines[0] == "1 input, 1 output, 31 steps, 9,228,362 parameters, 2.0 MiB of results");
  CHECK(lines[1] == "input -> input f32[1, 3, 32, 32]");
  CHECK(lines[2] ==
        "conv2d features.0 input, .weight padding [1, 1] -> conv2d_1 f32[1, 64, 32, 32] nhwc");
  CHECK(lines[3] ==
        "batch_norm features.1 conv2d_1, .weight, .bias, .running_mean, .running_var eps 1e-05 "
        "-> batch_norm_1 f32[1, 64, 32, 32] nhwc");
  CHECK(lines[4] == "relu features.2 batch_norm_1 -> relu_1 f32[1, 64, 32, 32] nhwc");
  CHECK(lines[5] ==
        "max_pool2d features.3 relu_1 kernel_size [2, 2] -> max_pool2d_1 f32[1, 64, 16, 16] nhwc");
  CHECK(lines[31] == "reshape max_pool2d_5 -> reshape_1 f32[1, 512] view");
  CHECK(lines[32] == "linear classifier reshape_1, .weight, .bias -> linear_1 f32[1, 10]");
  CHECK(lines[33] == "output linear_1");
}

TEST_CASE("fake contract: an attention block of 100000 sequences takes no memory", "[contract]") {
  nn::TransformerEncoderLayer block({.embed_dim = 64, .heads = 4, .dim_feedforward = 256});
  const Footprint before;
  const Graph graph =
      trace(block, fake({100'000, 128, 64}), fake({100'000, 1, 1, 128}, {.dtype = boolean}));
  check_untouched(before);
  CHECK(output_spec(graph).shape == Shape{100'000, 128, 64});
  CHECK(graph.parameter_count() == block.parameter_count());
  const bool tiled =
      default_device().is_cpu();  // elsewhere attention is made of smaller operations
  const char* const attention = tiled ? "scaled_dot_product_attention" : "masked_softmax";
  std::vector<std::string> dropouts{"dropout1", "dropout", "dropout2"};
  if (!tiled) dropouts.insert(dropouts.begin(), "self_attn");
  CHECK(modules_of(graph, attention) == std::vector<std::string>{"self_attn"});
  CHECK(modules_of(graph, "layer_norm") == std::vector<std::string>{"norm1", "norm2"});
  CHECK(modules_of(graph, "dropout") == dropouts);
}

TEST_CASE("fake contract: replay gives the model's own bits", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << test::test_seed());
  manual_seed(test::test_seed());
  const NoGradGuard no_grad;
  SECTION("VGG11") {
    nn::Vgg11Cifar model;
    randomize_statistics(model);
    model.eval();
    const Graph graph = trace(model, fake({2, 3, 32, 32}));
    const Tensor x = randn({2, 3, 32, 32});
    check_same_bits(replay(graph, {x}), {model(x)});
  }
  SECTION("TinyCnn") {
    nn::TinyCnn model({.channels = 1, .height = 8, .width = 8});
    model.eval();
    const Graph graph = trace(model, fake({5, 1, 8, 8}));
    const Tensor x = randn({5, 1, 8, 8});
    check_same_bits(replay(graph, {x}), {model(x)});
  }
  SECTION("attention with a mask") {
    nn::TransformerEncoderLayer block({.embed_dim = 8, .heads = 2, .dim_feedforward = 16});
    block.eval();
    const Graph graph = trace(block, fake({2, 3, 8}), fake({2, 1, 1, 3}, {.dtype = boolean}));
    const Tensor x = randn({2, 3, 8});
    const Tensor mask = tensor({1, 1, 1, 1, 0, 0}, {2, 1, 1, 3}, {.dtype = boolean});
    check_same_bits(replay(graph, {x, mask}), {block(x, mask)});
  }
  SECTION("several inputs, several results") {
    Attention model;
    model.eval();
    const Graph graph = trace(model, fake({2, 3, 8}), fake({2, 5, 8}), true);
    CHECK(graph.inputs.size() == 2);
    CHECK(output_spec(graph, 0).shape == Shape{2, 3, 8});
    CHECK(output_spec(graph, 1).shape == Shape{2, 3, 5});
    const Tensor x = randn({2, 3, 8});
    const Tensor memory = randn({2, 5, 8});
    const auto [y, weights] = model(x, memory, true);
    check_same_bits(replay(graph, {x, memory}), {y, weights});
  }
}

TEST_CASE("fake contract: dropout is recorded where it drops", "[contract]") {
  nn::TinyCnn model;
  for (const bool training : {false, true}) {
    CAPTURE(training);
    model.train(training);
    const Footprint before;
    const Graph graph = trace(model, fake({100'000, 3, 32, 32}));
    check_untouched(before);
    CHECK(graph.steps.size() == (training ? 11 : 9));
    CHECK(
        modules_of(graph, "dropout") ==
        (training ? std::vector<std::string>{"dropout1", "dropout2"} : std::vector<std::string>{}));
  }
  const Graph graph = trace(model, fake({3, 3, 32, 32}));
  const Tensor x = randn({3, 3, 32, 32});
  check_same_bits(replay(graph, {x}), replay(graph, {x}));
}

TEST_CASE("fake contract: what must have elements is not filled from a fake", "[contract]") {
  nn::Linear net({.in = 2, .out = 1});
  const std::vector<double> weight = net.weight.to_vector();
  CHECK_THROWS_WITH(net.load_state_dict({{"weight", ones({1, 2})}, {"bias", fake({1})}}),
                    Contains("load_state_dict: 'bias' of the state has no elements: fake f32[1]"));
  CHECK(net.weight.to_vector() == weight);
  CHECK_THROWS_WITH(data::TensorDataset(fake({3, 2}), ones({3})),
                    Contains("TensorDataset: a fake tensor has no elements"));
}
